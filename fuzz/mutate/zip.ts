/** Changes within the members of a zip file of stored members, such as PyTorch's, whose frame is kept right. */
import { Buffer } from "node:buffer";
import { encodeZip } from "../../checkpoints/zip_test_support.ts";
import { byteMutators } from "./bytes.ts";
import { mutatePickle } from "./pickle.ts";
import type { Mutator } from "./mutator.ts";

type Member = [name: string, data: Uint8Array];

/** The record at the end: its mark, its bytes, where it has the directory's place. */
const END_MARK = Buffer.from("PK\x05\x06", "latin1"), END_BYTES = 22, END_DIRECTORY = 16;
/** An entry of the directory: its mark, its bytes, where it has the member's size, lengths and place. */
const ENTRY_MARK = 0x02014b50, ENTRY = 46, ENTRY_SIZE = 24, ENTRY_NAME = 28, ENTRY_PLACE = 42;
/** The header before a member: its bytes, and where it has the length of the name. */
const LOCAL = 30, LOCAL_NAME = 26;

/** Spoils the bytes of one member, its pickle more often than its numbers, or how the file is framed. */
export const mutateMember: Mutator = ({ bytes, draw, other }) => {
  const members = readMembers(bytes);
  if (members.length === 0) return undefined;
  const pickles = members.filter(([name]) => name.endsWith(".pkl"));
  const member = draw.pick(pickles.length > 0 && !draw.once(4) ? pickles : members);
  if (draw.once(8)) {
    const quirk = draw.pick([{ zip64: true }, { method: 8 }, { flags: 1 }, { padding: 3 }, {
      comment: "x".repeat(99),
    }]);
    return { bytes: encodeZip(members, quirk), change: `zip with ${JSON.stringify(quirk)}` };
  }
  if (draw.once(8)) {
    if (draw.once(2)) members.splice(members.indexOf(member), 1);
    else member[0] = draw.pick(["", "x", "../x", "a/data.pkl", "archive/data/0", member[0].toUpperCase()]);
    return { bytes: encodeZip(members), change: "a member is gone or has another name" };
  }
  const mutator = member[0].endsWith(".pkl") && !draw.once(4) ? mutatePickle : draw.pick(byteMutators);
  const changed = mutator({ bytes: member[1], draw, other });
  if (changed === undefined) return undefined;
  member[1] = changed.bytes;
  return { bytes: encodeZip(members), change: `${member[0]}: ${changed.change}` };
};

/** Members as the directory at the end tells them; none where it cannot be followed. */
function readMembers(bytes: Uint8Array): Member[] {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = file.lastIndexOf(END_MARK);
  const members: Member[] = [];
  if (end < 0 || end + END_BYTES > file.length) return members;
  let at = file.readUInt32LE(end + END_DIRECTORY);
  while (at + ENTRY <= end && file.readUInt32LE(at) === ENTRY_MARK) {
    const [size, local] = [file.readUInt32LE(at + ENTRY_SIZE), file.readUInt32LE(at + ENTRY_PLACE)];
    const [name, extra, comment] = [0, 2, 4].map((field) => file.readUInt16LE(at + ENTRY_NAME + field));
    if (local + LOCAL > end) return [];
    const begin = local + LOCAL + file.readUInt16LE(local + LOCAL_NAME) + file.readUInt16LE(local + LOCAL_NAME + 2);
    if (begin + size > end) return [];
    members.push([file.toString("utf8", at + ENTRY, at + ENTRY + name), bytes.slice(begin, begin + size)]);
    at += ENTRY + name + extra + comment;
  }
  return members;
}
