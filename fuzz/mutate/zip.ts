/** Changes within the members of a zip file of stored members, such as PyTorch's, whose frame is kept right. */
import { Buffer } from "node:buffer";
import { encodeZip } from "../../checkpoints/zip_test_support.ts";
import { byteMutators } from "./bytes.ts";
import type { Mutator } from "./mutator.ts";

type Member = [name: string, data: Uint8Array];

/** Signature of a local header, and where its fields lie. */
const LOCAL = 0x04034b50, SIZE = 18, NAME = 26, EXTRA = 28, HEADER = 30;

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
  const changed = draw.pick(byteMutators)({ bytes: member[1], draw, other });
  if (changed === undefined) return undefined;
  member[1] = changed.bytes;
  return { bytes: encodeZip(members), change: `${member[0]}: ${changed.change}` };
};

function readMembers(bytes: Uint8Array): Member[] {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const members: Member[] = [];
  for (let at = 0; at + HEADER <= file.length && file.readUInt32LE(at) === LOCAL;) {
    const name = at + HEADER;
    const begin = name + file.readUInt16LE(at + NAME) + file.readUInt16LE(at + EXTRA);
    const end = begin + file.readUInt32LE(at + SIZE);
    if (end > file.length) return [];
    members.push([file.toString("utf8", name, name + file.readUInt16LE(at + NAME)), bytes.slice(begin, end)]);
    at = end;
    // PyTorch puts sizes behind members too.
    if (at + 4 <= file.length && file.readUInt32LE(at) === 0x08074b50) at += 16;
  }
  return members;
}
