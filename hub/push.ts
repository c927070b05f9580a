/** Files of this machine made a commit of a repository of the hub: what is there already is not sent again. */
import { createHash } from "node:crypto";
import { commitIter, type CommitOutput, createBranch, createRepo } from "@huggingface/hub";
import { InputError } from "../files/input_error.ts";
import { endpointOf, findToken, type HubAccess, RefusedError } from "./access.ts";
import { describeModel } from "./model_info.ts";
import { type HubRepo, resolveModel } from "./repo.ts";
import { sender } from "./send.ts";

/** A file that is to be in the repository. */
export interface Upload {
  /** In the repository, with forward slashes. */
  readonly path: string;
  readonly bytes: number;
  /** Of the content, in hex. */
  readonly sha256: string;
  /** A `file:` address, or the content itself. */
  readonly content: URL | Blob;
}

/** A repository as it is before a push. */
export interface PushTarget {
  /** owner/name. */
  readonly id: string;
  readonly branch: string;
  /** What is on the branch; undefined where the repository or the branch is to be made. */
  readonly repo: HubRepo | undefined;
  /** Whether the repository is there. */
  readonly exists: boolean;
  /** Whether only its owner sees it; undefined where it is to be made. */
  readonly private?: boolean;
}

/** A file and how the repository has it. */
export interface ComparedUpload extends Upload {
  readonly state: "new" | "changed" | "unchanged";
}

/** How a push is made. */
export interface PushOptions {
  /** First line of the commit. */
  readonly title: string;
  readonly description?: string;
  /** Whether a repository that is made is private; default: as its owner's settings say. */
  readonly private?: boolean;
}

/** A commit. */
export interface Pushed {
  readonly commit: string;
  /** For a browser. */
  readonly url: string;
}

/** Larger files are never stored by git itself, so that their git hash is of no use. */
const MOST_IN_GIT = 1 << 24;

/**
 * Looks at a repository that is to get files.
 *
 * @throws {InputError} when the hub does not answer, or refuses for another reason than that there is none
 */
export async function lookAtTarget(id: string, branch: string, access: HubAccess): Promise<PushTarget> {
  try {
    const repo = await resolveModel(id, branch, access);
    return { id, branch, repo, exists: true, private: (await describeModel(id, "HEAD", access)).private };
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    if (error.reason === "RevisionNotFound") {
      return { id, branch, repo: undefined, exists: true, private: (await describeModel(id, "HEAD", access)).private };
    }
    // The hub says the same, 401 without a token and 404 with one, of what is not there and of what others may not see.
    if (error.reason === "RepoNotFound" || error.status === 404 && error.reason === "") {
      return { id, branch, repo: undefined, exists: false };
    }
    throw error;
  }
}

/** Says of files whether the repository has them. */
export async function compareUploads(
  uploads: readonly Upload[],
  { repo }: Pick<PushTarget, "repo">,
): Promise<ComparedUpload[]> {
  return await Promise.all(uploads.map(async (upload): Promise<ComparedUpload> => {
    const there = repo?.files.get(upload.path);
    if (there === undefined) return { ...upload, state: "new" };
    const same = there.size === upload.bytes &&
      (there.sha256 === undefined ? there.oid === await gitHash(upload) : there.sha256 === upload.sha256);
    return { ...upload, state: same ? "unchanged" : "changed" };
  }));
}

/**
 * Uploads what is not unchanged and commits it, on top of what was looked at. The repository and the branch are made where they are not
 * there. Contents that the hub has from a push that broke are not sent again.
 *
 * @param uploads as `compareUploads` gives them
 * @returns the commit; where all is unchanged, the one that has it
 * @throws {ConflictError} when the branch has another commit meanwhile
 * @throws {InputError} when there is no token, or the hub refuses or does not answer
 */
export async function push(
  uploads: readonly ComparedUpload[],
  target: PushTarget,
  access: HubAccess,
  options: PushOptions,
): Promise<Pushed> {
  const { id, branch } = target, hubUrl = endpointOf(access), repo = { type: "model", name: id } as const;
  const token = await tokenOf(access, id);
  const fetch = sender(access, { what: `model ${id}`, token });
  const common = { repo, hubUrl, accessToken: token, fetch };
  const wanted = uploads.filter(({ state }) => state !== "unchanged");
  if (target.repo !== undefined && wanted.length === 0) return pushed(id, target.repo.commit, access);
  if (!target.exists) {
    const { private: hidden } = options;
    await createRepo({ ...common, ...(hidden === undefined ? {} : { visibility: hidden ? "private" : "public" }) });
  }
  // What is made new has a first commit of the hub's own.
  let parent = target.repo?.commit;
  if (parent === undefined && (target.exists || branch !== "main")) await createBranch({ ...common, branch });
  parent ??= (await resolveModel(id, branch, { ...access, token })).commit;
  let committing = false;
  try {
    const events = commitIter({
      ...common,
      ...{ branch, parentCommit: parent, title: options.title, abortSignal: access.signal },
      ...(options.description === undefined ? {} : { description: options.description }),
      operations: wanted.map(({ path, content }) => ({ operation: "addOrUpdate", path, content })),
    });
    let next = await events.next();
    for (; !next.done; next = await events.next()) {
      const event = next.value;
      if (event.event === "phase") committing = event.phase === "committing";
      else tell(access, event);
    }
    return made(next.value, id, access);
  } catch (error) {
    access.signal?.throwIfAborted();
    const found = committing ? await findCommit(wanted, target, parent, { ...access, token }) : undefined;
    if (found !== undefined) return pushed(id, found, access);
    if (error instanceof InputError) throw error;
    throw new InputError(
      `Cannot push to model ${id}: the hub's answer is not as expected (${
        error instanceof Error ? error.message : error
      }); ` +
        "give the same command again, what was uploaded is not sent again",
      { cause: error },
    );
  }
}

/** The user's token. @throws {InputError} when there is none, or it is none of the hub's */
async function tokenOf(access: HubAccess, id: string): Promise<string> {
  const token = access.token === undefined ? await findToken() : access.token;
  const page = `${endpointOf(access)}/settings/tokens`;
  if (!token) {
    throw new InputError(
      `Cannot push to model ${id} without a token: make one that may write at ${page}, and give it in HF_TOKEN or with \`hf auth login\``,
    );
  }
  if (token.startsWith("hf_")) return token;
  throw new InputError(
    `Cannot push to model ${id}: the token does not begin with hf_, so it is none of the hub's; see ${page}`,
  );
}

function made(output: CommitOutput | undefined, id: string, access: HubAccess): Pushed {
  const commit = output?.commit.oid;
  if (commit !== undefined && /^[0-9a-f]{40}$/.test(commit)) return pushed(id, commit, access);
  throw new InputError(
    `Cannot tell what became of the push to model ${id}: the hub's answer names no commit; look there`,
  );
}

function pushed(id: string, commit: string, access: HubAccess): Pushed {
  return { commit, url: `${endpointOf(access)}/${id}/commit/${commit}` };
}

/** A commit that was made although its answer never came. */
async function findCommit(
  wanted: readonly ComparedUpload[],
  { id, branch }: PushTarget,
  parent: string,
  access: HubAccess,
): Promise<string | undefined> {
  const repo = await resolveModel(id, branch, access).catch(() => undefined);
  if (repo === undefined || repo.commit === parent) return undefined;
  const compared = await compareUploads(wanted, { repo });
  return compared.every(({ state }) => state === "unchanged") ? repo.commit : undefined;
}

/** What git calls a content. @returns undefined for what git does not store */
async function gitHash({ bytes, content }: Upload): Promise<string | undefined> {
  if (bytes > MOST_IN_GIT) return undefined;
  const data = content instanceof URL ? await Deno.readFile(content) : new Uint8Array(await content.arrayBuffer());
  return createHash("sha1").update(`blob ${data.length}\0`).update(data).digest("hex");
}

function tell(
  { progress }: HubAccess,
  { path, progress: share, state }: { readonly path: string; readonly progress: number; readonly state: string },
): void {
  if (state !== "error") progress?.(`${path}: ${state} ${Math.floor(100 * share)} %`);
}
