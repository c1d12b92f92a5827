// Numbers and failures for people. What a service says about a failure is added to it, never in place of it.

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });

export const count = (number) => whole.format(number);
export const photos = (number) => (number === 1 ? "1 photo" : `${whole.format(number)} photos`);

export function size(bytes) {
  if (bytes < 1e6) return `${whole.format(Math.max(1, bytes / 1e3))}\u00a0kB`;
  return bytes < 1e9 ? `${(bytes < 1e7 ? tenth : whole).format(bytes / 1e6)}\u00a0MB` : `${tenth.format(bytes / 1e9)}\u00a0GB`;
}

/** Says a time to wait, in steps that do not jitter. */
export function left(seconds) {
  if (seconds < 8) return "a few seconds";
  if (seconds < 55) return `about ${Math.ceil(seconds / 10) * 10} seconds`;
  if (seconds < 100) return "about a minute";
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} minutes`;
  return `about ${Math.round(seconds / 3600)} hours`;
}

export const rate = (perSecond) =>
  perSecond >= 1 ? `${tenth.format(perSecond)} a second` : `${tenth.format(perSecond * 60)} a minute`;

const FORMATS = "JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF and BMP";
const AGAIN = "Try again.";
const BACKGROUND = ["The background picture cannot be used.", "Choose another one in the settings, and try again."];
const SETTING = ["A setting does not fit.", "Change it, and try again."];

/** What happened, and what to do, by the code of an error. */
const FAILURES = {
  invalid_file_type: ["This is no photo that the service can read.", `It reads ${FORMATS}.`],
  failed_to_read_image: ["The file is damaged.", "Open it in a picture program, save it again, and add that file."],
  file_too_large: ["The file is too large.", "Save the photo smaller, and add it again."],
  resolution_too_high: ["The photo has too many pixels.", "Save it smaller, and add it again."],
  unknown_foreground: ["No subject was found.", "Try another profile, or a photo whose subject stands out more."],
  roi_exceeds_bounds: SETTING,
  invalid_option: SETTING,
  invalid_request: SETTING,
  invalid_profile: ["The service does not have this profile.", "Choose another one in the settings, and try again."],
  failed_bg_download: BACKGROUND,
  invalid_bg_image: BACKGROUND,
  invalid_bg_image_url: BACKGROUND,
  expired: ["It took too long.", AGAIN],
  // what the page itself finds out
  no_picture: ["The background picture is no longer there.", "Choose it again in the settings, and try again."],
  unreadable: ["Your computer cannot read the file any more.", "Add it again."],
  forgotten: ["The service does not know this photo any more.", "Try again: it is sent anew."],
  result_unreadable: ["The service cannot read the result now.", "Try again later."],
  gone: ["The result is no longer there.", "Try again: it is made anew."],
  unreachable: ["The service cannot be reached.", "Check the connection. The page tries again by itself."],
  busy: ["The service has too much to do.", "The page tries again by itself."],
};

/** Returns {what, todo, detail} for a failure {code, message}. */
export function explain({ code, message = "" }) {
  const [what, todo] = FAILURES[code] ?? [
    "The service could not do this photo.",
    `Try again. If it fails again, tell whoever runs the service: ${code}.`,
  ];
  return { what, todo, detail: message };
}
