// The form and the fields of a request. Fields that a link brings and the form does not have stay as they are.

const NOT_SHARED = ["id", "image", "deadline", "replay", "destination", "labels"];
const OWN = ["outputs", "picture", "background", "shadow", "crop", "crop_margin", "refine", "matting", "decontaminate", "profile", "format"];

let extra = {};

/** The background picture of this computer, {id, name}, or null. A request names it by its id until it is sent. */
export let picture = null;

export function choosePicture(chosen) {
  picture = chosen;
}

/** Returns the request's fields for what the form shows. What is a default is left out. */
export function read(form) {
  const value = (name) => form.elements[name].value;
  const checked = (name) => form.elements[name].checked;
  const fields = { ...extra };
  const kind = value("background");
  if (kind !== "none" || value("shadow")) fields.outputs = ["composite"];
  if (kind === "none" && value("shadow")) fields.background = { color: "transparent" };
  if (kind === "color") fields.background = { color: value("color") };
  if (kind === "image" && picture) fields.picture = picture;
  else if (kind === "image") fields.background = { image: value("image").trim() };
  if (kind === "blur") fields.background = { blur: Number(value("blur")) };
  if (value("shadow")) fields.shadow = value("shadow");
  if (checked("crop")) fields.crop = true;
  if (checked("crop") && Number(value("margin")) > 0) fields.crop_margin = `${Number(value("margin"))}%`;
  if (value("refine")) fields.refine = value("refine");
  if (checked("matting")) fields.matting = "fast";
  if (checked("decontaminate")) fields.decontaminate = true;
  if (value("profile")) fields.profile = value("profile");
  if (value("format")) fields.format = value("format");
  return fields;
}

/** Shows a request's fields. What the form cannot show is kept beside it. */
export function show(form, fields) {
  form.reset();
  const set = (name, value) => { form.elements[name].value = value; };
  picture = fields.picture?.id ? fields.picture : null;
  const { background = {}, outputs, shadow, crop, crop_margin, refine, matting, decontaminate, profile, format } = fields;
  extra = Object.fromEntries(Object.entries(fields).filter(([name]) => !OWN.includes(name) && !NOT_SHARED.includes(name)));
  if (picture) set("background", "image");
  else if (background.image) set("background", "image"), set("image", background.image);
  else if (background.blur) set("background", "blur"), set("blur", background.blur);
  else if (background.color && background.color !== "transparent") set("background", "color"), set("color", background.color);
  if (outputs && !["cutout", "composite"].includes(outputs[0])) extra.outputs = outputs;
  const choose = (name, found) => {
    if (found === undefined) return;
    const known = [...form.elements[name].options].some((option) => option.value === found);
    known ? set(name, found) : (extra[name] = found);
  };
  choose("shadow", shadow);
  choose("refine", refine === "soft" ? "" : refine);
  choose("profile", profile);
  choose("format", format === "auto" ? "" : format);
  form.elements.crop.checked = crop === true;
  if (/^\d+%$/.test(crop_margin ?? "")) set("margin", parseInt(crop_margin, 10));
  form.elements.matting.checked = matting === "fast";
  if (matting && matting !== "fast") extra.matting = matting;
  form.elements.decontaminate.checked = decontaminate === true;
}

export const extraNames = () => Object.keys(extra);

/** Shows the parts of the form that go with what is chosen. */
export function fold(form) {
  const kind = form.elements.background.value;
  for (const part of form.querySelectorAll("[data-for]")) {
    part.hidden = part.dataset.for === "crop" ? !form.elements.crop.checked : part.dataset.for !== kind;
  }
}

/** Returns why these fields cannot be used yet, or nothing. */
export function problem(fields) {
  return fields.background?.image === "" ? "Choose a background picture in the settings first." : "";
}

/** Returns the fields as others can use them: without a picture that only this computer has. */
export function shared({ picture, ...fields }) {
  return fields;
}

export const link = (base, fields) => `${base}#settings=${encodeURIComponent(JSON.stringify(shared(fields)))}`;

/** Returns the fields that a link brings, or null. */
export function fromLink(hash) {
  const text = new URLSearchParams(hash.slice(1)).get("settings");
  if (text === null) return null;
  try {
    const fields = JSON.parse(text);
    return fields && typeof fields === "object" && !Array.isArray(fields) ? fields : null;
  } catch {
    return null;
  }
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export function curl(base, fields, needsKey) {
  const lines = ["curl", ...(needsKey ? ["-H \"X-Api-Key: $CUTSTREAM_KEY\""] : []), "-F image_file=@photo.jpg",
    ...(fields.picture ? [`-F ${quoted(`bg_image_file=@${fields.picture.name}`)}`] : []),
    `-F options=${quoted(JSON.stringify(shared(fields)))}`, quoted(`${base}v1/jobs`)];
  return lines.join(" \\\n  ");
}
