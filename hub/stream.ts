/** A file of the hub as it comes, from any byte on, kept by nobody. What is to stay on this disk: `download.ts`. */
import { InputError } from "../files/input_error.ts";
import { type HubAccess, request, unreachable } from "./access.ts";
import { fileUrl } from "./remote_file.ts";
import { describe, fileOf, type HubRepo } from "./repo.ts";

/**
 * Asks for a file.
 *
 * @param options `from`: the first byte that is wanted
 * @returns `from`: the byte that comes first, 0 where whole files are sent only
 * @throws {InputError} when the repository has no such file, or the hub refuses or does not answer
 */
export async function streamFile(
  repo: HubRepo,
  path: string,
  access: HubAccess,
  { from = 0 }: { readonly from?: number } = {},
): Promise<{ readonly from: number; readonly body: AsyncIterable<Uint8Array> }> {
  fileOf(repo, path);
  const what = `${path} of ${describe(repo)}`;
  const range: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-` };
  const { response, alive } = await request(access, fileUrl(repo, path, access), what, range);
  async function* flow(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of response.body ?? []) {
        alive();
        yield chunk;
      }
    } catch (cause) {
      access.signal?.throwIfAborted();
      throw cause instanceof InputError ? cause : unreachable(access, what, cause);
    } finally {
      alive(true);
    }
  }
  return { from: response.status === 206 ? from : 0, body: flow() };
}
