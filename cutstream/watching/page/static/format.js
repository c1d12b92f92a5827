// Numbers for people, as in `cutstream top`, all of bounded length: a worker may answer anything.

export const UNKNOWN = "–";

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const UNITS = [[1, "ms", 0.001], [120, "s", 1], [7200, "min", 60], [172_800, "h", 3600]];

const MOST = 1e9;

const bounded = (number, format) => (number === null ? UNKNOWN : Math.abs(number) < MOST ? format.format(number) : "≥\u00a010⁹");

export const count = (number) => bounded(number, whole);
export const rate = (number) => bounded(number, tenth);
export const megabytes = (bytes) => `${bounded(bytes / 1e6, whole)}\u00a0MB`;

export function seconds(number) {
  if (number === null) return UNKNOWN;
  if (number === "never") return "never";
  if (number === 0) return "0\u00a0s";
  const [, unit, size] = UNITS.find(([limit]) => number < limit) ?? [Infinity, "d", 86_400];
  const value = number / size;
  return `${unit !== "ms" && value < 10 ? tenth.format(value) : count(value)}\u00a0${unit}`;
}

const DAY = { day: "numeric", month: "short", year: "numeric" };

/** The time of day, with the date if that is not today's. */
export function clock(date) {
  const time = date.toLocaleTimeString("en-GB");
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString("en-GB", DAY)}, ${time}`;
}

export const fullTime = (date) => date.toLocaleString("en-GB", { dateStyle: "full", timeStyle: "long" });
