/** A file of the hub read by ranges, without downloading it. */
import { type ByteSource, checkRange } from "../files/byte_source.ts";
import { InputError } from "../files/input_error.ts";
import { endpointOf, type HubAccess, request, unreachable } from "./access.ts";
import { describe, fileOf, type HubRepo } from "./repo.ts";

/** Address of a file's content. */
export function fileUrl(repo: HubRepo, path: string, access: HubAccess): string {
  const prefix = repo.kind === "dataset" ? "datasets/" : "";
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return `${endpointOf(access)}/${prefix}${repo.id}/resolve/${repo.commit}/${encoded}`;
}

/**
 * Opens a file of the hub for reading by ranges; each read is one request.
 *
 * @throws {InputError} when the repository has no such file
 */
export function openRemote(repo: HubRepo, path: string, access: HubAccess): ByteSource {
  const { size } = fileOf(repo, path);
  const what = `${path} of ${describe(repo)}`;
  return {
    label: path,
    size,
    close: () => undefined,
    async read(begin, end) {
      checkRange(path, size, begin, end);
      const bytes = new Uint8Array(end - begin);
      if (bytes.length === 0) return bytes;
      const range = `bytes=${begin}-${end - 1}`;
      const { response, alive } = await request(access, fileUrl(repo, path, access), what, { range });
      let done = 0;
      try {
        if (response.status !== 206 && !(begin === 0 && end === size)) {
          await response.body?.cancel();
          throw new InputError(`Cannot read ${what} by range: the server sends whole files only`);
        }
        for await (const chunk of response.body ?? []) {
          alive();
          if (done + chunk.length > bytes.length) throw new Error("more bytes came than were asked for");
          bytes.set(chunk, done);
          done += chunk.length;
        }
        if (done < bytes.length) throw new Error(`only ${done} of ${bytes.length} bytes came`);
      } catch (cause) {
        access.signal?.throwIfAborted();
        if (cause instanceof InputError) throw cause;
        throw unreachable(access, what, cause);
      } finally {
        alive(true);
      }
      return bytes;
    },
  };
}
