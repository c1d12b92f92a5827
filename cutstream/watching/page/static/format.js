// Numbers for people, as in `cutstream top`.

export const UNKNOWN = "–";

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const UNITS = [[1, "ms", 0.001], [120, "s", 1], [7200, "min", 60], [172_800, "h", 3600]];

export const count = (number) => whole.format(number);
export const rate = (number) => (number === null ? UNKNOWN : tenth.format(number));
export const megabytes = (bytes) => `${whole.format(bytes / 1e6)} MB`;

export function seconds(number) {
  if (number === null) return UNKNOWN;
  if (number === "never") return "never";
  if (number === 0) return "0\u00a0s";
  const [, unit, size] = UNITS.find(([limit]) => number < limit) ?? [Infinity, "d", 86_400];
  const value = number / size;
  return `${unit !== "ms" && value < 10 ? tenth.format(value) : whole.format(value)}\u00a0${unit}`;
}

export const clock = (date) => date.toLocaleTimeString("en-GB");
