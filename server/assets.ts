/** Styles and scripts of the pages, as files that a browser takes as they are: nothing is built. */
import { readdirSync, readFileSync } from "node:fs";
import { sha256 } from "../runner/keys.ts";

/** A file that pages ask for. */
export interface Asset {
  readonly body: string;
  readonly type: string;
  /** Of what it holds. */
  readonly tag: string;
}

const TYPES: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

/** All of them by name: the page's own, and the report's style. */
export function readAssets(): ReadonlyMap<string, Asset> {
  const folder = new URL("./assets/", import.meta.url);
  const files = readdirSync(folder).map((name) => [name, new URL(name, folder)] as const);
  const assets = [...files, ["report.css", new URL("../report/report.css", import.meta.url)] as const]
    .flatMap(([name, url]): [string, Asset][] => {
      const type = TYPES[name.slice(name.lastIndexOf(".") + 1)];
      if (type === undefined) return [];
      const body = readFileSync(url, "utf8");
      return [[name, { body, type, tag: `"${sha256(body).slice(0, 16)}"` }]];
    });
  return new Map(assets);
}
