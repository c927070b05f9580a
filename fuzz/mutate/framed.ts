/** Changes of JSON that lies within something else, whose frame is kept right: safetensors, manifests. */
import { sha256 } from "../../runner/keys.ts";
import { spoilCoherently } from "./coherent.ts";
import { spoilJson } from "./json.ts";
import { join, type Mutator } from "./mutator.ts";

/** Bytes of a safetensors file's length of header. */
const LENGTH_BYTES = 8;

/** Spoils the header of a safetensors file; its length is right again, but for once in eight. */
export const mutateHeader: Mutator = ({ bytes, draw }) => {
  if (bytes.length < LENGTH_BYTES) return undefined;
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > bytes.length - LENGTH_BYTES) return undefined;
  const end = LENGTH_BYTES + length;
  const spoil = draw.once(2) ? spoilCoherently : spoilJson;
  const spoilt = spoil(new TextDecoder().decode(bytes.subarray(LENGTH_BYTES, end)), draw);
  if (spoilt === undefined) return undefined;
  const header = new TextEncoder().encode(spoilt.text);
  const size = new Uint8Array(LENGTH_BYTES);
  new DataView(size.buffer).setBigUint64(0, BigInt(draw.once(8) ? length : header.length), true);
  return { bytes: join(size, header, bytes.subarray(end)), change: `header: ${spoilt.change}` };
};

/** Spoils a manifest and seals it again, so that what reads it goes beyond the digest. */
export const mutateManifest: Mutator = ({ bytes, draw }) => {
  const text = new TextDecoder().decode(bytes);
  const found = /^\{"manifest":(.*),"sha256":"[0-9a-f]{64}"\}\n?$/s.exec(text);
  const spoilt = found && spoilJson(found[1], draw);
  if (!spoilt) return undefined;
  const sealed = `{"manifest":${spoilt.text},"sha256":"${sha256(spoilt.text)}"}\n`;
  return { bytes: new TextEncoder().encode(sealed), change: `sealed again: ${spoilt.change}` };
};
