/** Numbers and events in words, as the server writes them. */

export function seconds(value) {
  if (value < 9.95) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  if (whole < 60) return `${whole} s`;
  const [big, small, names] = whole < 3600
    ? [Math.floor(whole / 60), whole % 60, ["min", "s"]]
    : [Math.floor(whole / 3600), Math.floor(whole % 3600 / 60), ["h", "min"]];
  return small === 0 ? `${big} ${names[0]}` : `${big} ${names[0]} ${small} ${names[1]}`;
}

export function bytes(value) {
  const power = value < 1 ? 0 : Math.min(4, Math.floor(Math.log2(value) / 10));
  return power === 0
    ? `${value} B`
    : `${(value / 2 ** (10 * power)).toFixed(1)} ${["", "KiB", "MiB", "GiB", "TiB"][power]}`;
}

function short(value) {
  if (typeof value === "number") return Number.isInteger(value) ? `${value}` : `${Number(value.toPrecision(4))}`;
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}

/** What was measured: numbers of layers and blocks as their mean. */
function measured(values) {
  return Object.entries(values).map(([name, value]) => {
    const numbers = typeof value === "object" && value !== null
      ? Object.values(value).filter((each) => typeof each === "number")
      : [];
    if (numbers.length === 0) return `${name} ${short(value)}`;
    return `${name} ${short(numbers.reduce((a, b) => a + b, 0) / numbers.length)} (mean of ${numbers.length})`;
  }).join(", ");
}

/** An event as a line of the log: a level and words; nothing for those that only say how far a step is. */
export function line(event) {
  switch (event.type) {
    case "run-started":
      return ["", `run ${event.run}: ${event.steps.length} steps on ${event.device.kind} (${event.device.name})`];
    case "step-finished":
      return [
        "",
        `${event.step}  ${seconds(event.seconds)}, ${bytes(event.bytes)}${event.reused ? ", made by another run" : ""}`,
      ];
    case "step-measured":
      return ["", `${event.step}  ${measured(event.values)}`];
    case "step-failed":
      return ["bad", `${event.step} failed: ${event.error.message}`];
    case "artifact-corrupt":
      return ["warn", `the cached result of ${event.step} is damaged (${event.detail}): it is made again`];
    case "artifact-evicted":
      return ["", `evicted ${event.key.slice(0, 8)}, ${bytes(event.bytes)}`];
    case "warning":
      return ["warn", `warning: ${event.message}`];
    case "run-interrupted":
      return ["warn", `interrupted; to go on: ${event.next}`];
    case "run-failed":
      return ["bad", `failed with exit code ${event.exit}: ${event.error.message}`];
    case "run-finished":
      return [
        "",
        `finished in ${seconds(event.seconds)}: ${event.ran} steps run, ${event.cached} cached, at most ${
          bytes(event.peakMemory)
        }`,
      ];
    default:
      return undefined;
  }
}
