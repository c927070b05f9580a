/** SwiftShader, the software Vulkan that comes with Chrome and Chromium, for processes of their own. */
import { readdirSync } from "node:fs";
import { join } from "node:path";

/** Its driver's file. */
export const DRIVER = "vk_swiftshader_icd.json";

/** Folders of Chrome and Chromium; on Windows each version has one inside. */
const FOLDERS: readonly string[] = Deno.build.os === "windows"
  ? ["ProgramFiles", "ProgramFiles(x86)", "LOCALAPPDATA"].flatMap((name) => {
    const root = Deno.env.get(name);
    return root === undefined ? [] : [
      join(root, "Google", "Chrome", "Application"),
      join(root, "Chromium", "Application"),
      join(root, "Microsoft", "Edge", "Application"),
    ];
  })
  : [
    "/usr/lib/chromium",
    "/usr/lib/chromium-browser",
    "/usr/lib64/chromium-browser",
    "/opt/google/chrome",
    "/opt/microsoft/msedge",
    "/snap/chromium/current/usr/lib/chromium-browser",
  ];

/** The path of the newest driver, if there is one. */
export function findDriver(): string | undefined {
  for (const folder of FOLDERS) {
    const inside = names(folder);
    if (inside.includes(DRIVER)) return join(folder, DRIVER);
    const version = inside.filter((name) => /^\d+(\.\d+)+$/.test(name) && names(join(folder, name)).includes(DRIVER))
      .sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
    if (version !== undefined) return join(folder, version, DRIVER);
  }
  return undefined;
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** The environment in which a process sees that driver alone; Vulkan's drivers are read once per process. */
export function driverEnvironment(driver: string): Record<string, string> {
  return { VK_DRIVER_FILES: driver, VK_ICD_FILENAMES: driver, DENO_WEBGPU_BACKEND: "vulkan", NO_COLOR: "1" };
}
