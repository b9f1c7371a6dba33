// Rules of WCAG AA that a program can check, as an expression: the list of what breaks them, as sentences.
(() => {
  const complaints = [];
  const say = (element, words) => complaints.push(`<${element.tagName.toLowerCase()}> “${(element.id || element.textContent).trim().slice(0, 40)}” ${words}`);
  const isShown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && element.getClientRects().length > 0;

  const nameOf = (element) => {
    const labelled = (element.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ");
    const labels = [...(element.labels ?? [])].map((label) => label.textContent).join(" ");
    const pictures = [...element.querySelectorAll("img[alt]")].map((picture) => picture.alt).join(" ");
    return [labelled, element.getAttribute("aria-label"), labels, element.textContent, pictures].filter(Boolean).join(" ").trim();
  };

  if (!document.documentElement.lang) complaints.push("The page has no language.");
  if (!document.title) complaints.push("The page has no title.");
  if (document.querySelectorAll("main").length !== 1) complaints.push("The page has not one main part.");
  for (const picture of document.images) if (!picture.hasAttribute("alt")) say(picture, "has no alt");
  for (const control of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [role=option]")) {
    if (control.closest("[aria-hidden=true]") || !isShown(control)) continue;
    if (!nameOf(control)) say(control, "has no name");
    const box = control.getBoundingClientRect();
    const isInText = getComputedStyle(control).display === "inline";
    const label = control.closest("label")?.getBoundingClientRect();
    if (!isInText && Math.max(box.height, label?.height ?? 0) < 24) say(control, `is too small: ${box.width} x ${box.height} px`);
    if (!isInText && Math.max(box.width, label?.width ?? 0) < 24) say(control, `is too small: ${box.width} x ${box.height} px`);
  }
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    if (!heading.checkVisibility()) continue;
    const next = Number(heading.tagName[1]);
    if (next > level + 1) say(heading, "skips a level");
    level = next;
  }
  const ids = new Set();
  for (const element of document.querySelectorAll("[id]")) {
    if (ids.has(element.id)) say(element, "has an id that is there twice");
    ids.add(element.id);
  }
  for (const attribute of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
    for (const element of document.querySelectorAll(`[${attribute}]`)) {
      for (const id of element.getAttribute(attribute).split(" ")) if (!document.getElementById(id)) say(element, `names ${id}, which is not there`);
    }
  }

  const colour = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = ([red, green, blue]) => {
    const light = [red, green, blue].map((code) => (code / 255 <= 0.04045 ? code / 255 / 12.92 : ((code / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2];
  };
  const groundOf = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const ground = colour(getComputedStyle(each).backgroundColor);
      if (ground.length < 4 || ground[3] > 0.7) return ground;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !isShown(element) || element.closest("script, option, :disabled, .visually-hidden, .skip")) continue;
    const style = getComputedStyle(element);
    const [text, ground] = [luminance(colour(style.color)), luminance(groundOf(element))];
    const ratio = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) say(element, `has a contrast of ${ratio.toFixed(2)}`);
  }
  return complaints;
})()
