/**
 * Who may ask, and what answers allow a browser to do: hosts, the token, no use from other sites, a strict content policy. Every answer
 * goes through here.
 */
import { timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { secureHeaders } from "hono/secure-headers";
import { sha256 } from "../runner/keys.ts";

/** Who may ask. */
export interface GuardOptions {
  /** Without it everyone who reaches the server may ask. */
  readonly token?: string;
  /**
   * Names in the header `Host` that are this server, without ports; undefined: all. A page elsewhere can give its own name this
   * machine's address, and would then be let in as if it were ours.
   */
  readonly hosts?: readonly string[];
}

const COOKIE = "pbs2p-session";

/** What is asked for by POST, as a question may be long, or as it starts or stops something; nothing else takes anything in. */
const POSTS = /^\/api\/(runs\/[^/]+\/(packed|original)\/text|recipes\/(check|plan)|jobs|jobs\/[^/]+\/stop)$/;

/** Headers of every answer. */
export const headers: MiddlewareHandler = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    scriptSrc: ["'self'"],
    styleSrc: ["'self'"],
    // Charts and swatches state colours and sizes where they are.
    styleSrcAttr: ["'unsafe-inline'"],
    imgSrc: ["'self'", "data:"],
    connectSrc: ["'self'"],
    formAction: ["'self'"],
    baseUri: ["'none'"],
    frameAncestors: ["'none'"],
  },
  referrerPolicy: "no-referrer",
  crossOriginResourcePolicy: "same-origin",
  crossOriginOpenerPolicy: "same-origin",
  xFrameOptions: "DENY",
  permissionsPolicy: { camera: [], geolocation: [], microphone: [] },
  // Another program may serve the same host over HTTP.
  strictTransportSecurity: false,
});

/** Lets in who may ask, and refuses the others in one sentence. */
export function guard({ token, hosts }: GuardOptions): MiddlewareHandler {
  return async (c, next) => {
    const host = c.req.header("host") ?? "";
    if (hosts !== undefined && !hosts.includes(nameIn(host))) {
      return c.text("Cannot answer under this name: open the address that the server printed\n", 421);
    }
    if (!isOfThisSite(c, host)) return c.text("Cannot answer requests that another site makes\n", 403);
    const posted = c.req.method === "POST" && POSTS.test(c.req.path);
    if (!posted && !["GET", "HEAD"].includes(c.req.method)) {
      c.header("Allow", "GET, HEAD");
      return c.text("Cannot change anything here: this server only shows\n", 405);
    }
    // A form of another site can send no JSON.
    if (posted && !/^application\/json\b/.test(c.req.header("content-type") ?? "")) {
      return c.json({ error: "Cannot understand this: a question that is posted must be application/json" }, 415);
    }
    if (token === undefined) return await next();
    const asked = c.req.query("token");
    if (asked !== undefined && same(asked, token)) return remember(c, token);
    const bearer = /^Bearer (.+)$/.exec(c.req.header("authorization") ?? "")?.[1];
    const session = getCookie(c, COOKIE);
    if (bearer !== undefined && same(bearer, token)) return await next();
    if (session !== undefined && same(session, sessionOf(token))) return await next();
    c.header("WWW-Authenticate", "Bearer");
    return c.text("Cannot answer without the token: open the address that the server printed, which has it\n", 401);
  };
}

/** Host without port. */
function nameIn(host: string): string {
  return host.replace(/:\d+$/, "").toLowerCase();
}

/**
 * Whether no other site is behind a request. Browsers say so in `Sec-Fetch-Site`, older ones in `Origin`; programs say neither. A link
 * from elsewhere that opens a page is let in: whoever set it does not see what comes.
 */
function isOfThisSite(c: Context, host: string): boolean {
  const origin = c.req.header("origin");
  if (origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== host)) return false;
  const site = c.req.header("sec-fetch-site");
  if (site === undefined || site === "same-origin" || site === "none") return true;
  return c.req.method === "GET" && c.req.header("sec-fetch-mode") === "navigate" &&
    c.req.header("sec-fetch-dest") === "document" && !c.req.path.startsWith("/api/");
}

/** Keeps the token in a cookie that scripts cannot read, and takes it out of the address. */
function remember(c: Context, token: string): Response {
  setCookie(c, COOKIE, sessionOf(token), { httpOnly: true, sameSite: "Strict", path: "/" });
  const url = new URL(c.req.url);
  url.searchParams.delete("token");
  return c.redirect(`${url.pathname}${url.search}`, 303);
}

/** Another value than the token, so that a cookie that is seen does not give it away. */
function sessionOf(token: string): string {
  return sha256(`session ${token}`);
}

/** Takes the same time wherever two texts differ. */
function same(a: string, b: string): boolean {
  const [first, second] = [a, b].map((text) => new TextEncoder().encode(sha256(text)));
  return timingSafeEqual(first, second);
}
