// The keyboard: letters choose tools and change the brush; with the picture focused, arrows move a pointer that Enter presses and releases.

export class Keyboard {
  // `actions` has a function by the name of what it does; `buttons` that are disabled do nothing.
  constructor(canvas, viewport, painter, drawing, gestures, actions) {
    this.canvas = canvas;
    this.viewport = viewport;
    this.painter = painter;
    this.drawing = drawing;
    this.gestures = gestures;
    this.actions = actions;
    this.isPressed = false;
    this.place = null;
    document.addEventListener("keydown", (event) => this.down(event));
    document.addEventListener("keyup", (event) => {
      if (event.key === " ") this.gestures.hasSpace = false;
    });
    canvas.addEventListener("blur", () => this.leave());
  }

  down(event) {
    const isTyping = event.target.matches("input[type=text], input[type=number], textarea, select");
    if (isTyping || event.altKey) return;
    const isHandled = event.ctrlKey || event.metaKey ? this.withControl(event) : this.plain(event);
    if (isHandled) event.preventDefault();
  }

  withControl(event) {
    const key = event.key.toLowerCase();
    if (key === "z") return this.act(event.shiftKey ? "redo" : "undo");
    if (key === "y") return this.act("redo");
    if (key === "s") return this.act("save");
    return false;
  }

  plain(event) {
    const isOnPicture = event.target === this.canvas;
    if (isOnPicture && event.key in ARROWS) return this.arrow(...ARROWS[event.key], event.shiftKey);
    if (isOnPicture && event.key === "Enter") return this.enter();
    if (isOnPicture && event.key === " ") {
      this.gestures.hasSpace = true;
      return true;
    }
    if (event.key === "Escape") {
      this.isPressed = false;
      this.painter.cancel();
      return true;
    }
    const name = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
    // On a slider the arrows and the page keys are its own; letters are not.
    return name === undefined ? false : this.act(name);
  }

  act(name) {
    // A tool that is not offered here has no action.
    this.actions[name]?.();
    return name in this.actions;
  }

  // Move the pointer by half a brush, with Shift by one px of the picture.
  arrow(dx, dy, isFine) {
    const step = isFine ? 1 : Math.max(1, this.painter.size / 2);
    const [x, y] = this.pointer();
    const { width, height } = this.painter.mask;
    this.place = [Math.min(width, Math.max(0, x + dx * step)), Math.min(height, Math.max(0, y + dy * step))];
    this.viewport.reveal(...this.place);
    if (this.isPressed) this.painter.move(...this.place);
    this.show();
    return true;
  }

  enter() {
    const place = this.pointer();
    if (this.painter.tool === "hand") return true;
    if (this.isPressed || this.painter.isPointing) this.painter.release(...place);
    else this.painter.press(...place);
    this.isPressed = !this.isPressed && !this.painter.isPointing;
    this.show();
    return true;
  }

  pointer() {
    if (this.place === null) {
      const [x, y] = this.viewport.toPicture(this.viewport.width / 2, this.viewport.height / 2);
      this.place = [Math.floor(x), Math.floor(y)];
    }
    return this.place;
  }

  show() {
    const [x, y] = this.place;
    this.drawing.cursor = { x, y, radius: this.painter.size / 2 };
    this.drawing.request();
  }

  leave() {
    if (this.isPressed) this.painter.release(...this.pointer());
    this.isPressed = false;
    this.gestures.hasSpace = false;
  }
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const KEYS = {
  b: "brush",
  e: "eraser",
  l: "lasso",
  f: "flood",
  c: "object",
  h: "hand",
  x: "takeAway",
  i: "invert",
  o: "overlay",
  Delete: "clear",
  "[": "smaller",
  "]": "larger",
  "{": "harder",
  "}": "softer",
  // Where brackets need AltGr.
  ",": "smaller",
  ".": "larger",
  "<": "harder",
  ">": "softer",
  "+": "zoomIn",
  "=": "zoomIn",
  "-": "zoomOut",
  0: "fit",
  1: "actual",
};
