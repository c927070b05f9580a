/** What the hub says of a model besides its files: who sees it, and under which licence it stands. */
import { modelInfo } from "@huggingface/hub";
import * as z from "zod";
import { InputError } from "../files/input_error.ts";
import { endpointOf, type HubAccess, request } from "./access.ts";

const Text = z.string().min(1).max(500);
const Card = z.object({
  license: z.union([Text, z.array(Text).min(1).max(10)]).optional(),
  license_name: Text.optional(),
  license_link: Text.optional(),
});

/** What the hub says of a model. */
export interface ModelFacts {
  /** Whether only its owner sees it. */
  readonly private: boolean;
  /** As its card says it; without `license` where it says none. */
  readonly licence: z.infer<typeof Card>;
}

/**
 * Asks what the hub says of a model.
 *
 * @param revision commit, tag or branch, whose card counts
 * @throws {InputError} when the hub refuses, does not answer, or answers something else
 */
export async function describeModel(id: string, revision: string, access: HubAccess): Promise<ModelFacts> {
  const what = `what is known of model ${id} (revision ${revision})`;
  const hubFetch = async (url: string | URL | Request): Promise<Response> => {
    const { response, alive } = await request(access, String(url), what);
    return new Response(await response.text().finally(() => alive(true)));
  };
  try {
    const found = await modelInfo({
      ...{ name: id, revision, hubUrl: endpointOf(access), fetch: hubFetch as typeof fetch },
      additionalFields: ["cardData"],
    });
    const card = Card.safeParse(found.cardData ?? {});
    return { private: found.private === true, licence: card.success ? card.data : {} };
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    access.signal?.throwIfAborted();
    const why = cause instanceof Error ? cause.message : cause;
    throw new InputError(`Cannot read ${what}: the hub's answer is not as expected: ${why}; check HF_ENDPOINT`, {
      cause,
    });
  }
}
