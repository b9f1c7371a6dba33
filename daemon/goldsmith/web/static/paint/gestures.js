// Pointers: one finger, a mouse or a pen paints; two fingers zoom and move; a wheel zooms; the hand, the middle button or Space moves.

const WHEEL_STEP = 1.0015;
const MIN_PRESSURE = 0.05;

export class Gestures {
  constructor(canvas, viewport, painter, drawing) {
    this.canvas = canvas;
    this.viewport = viewport;
    this.painter = painter;
    this.drawing = drawing;
    this.pointers = new Map();
    // Whether the pointers move the picture until all of them are gone.
    this.isMoving = false;
    this.hasSpace = false;
    // Once a pen has been seen, fingers and the palm only move the picture.
    this.hasPen = false;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event, false));
    canvas.addEventListener("pointercancel", (event) => this.up(event, true));
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (event.button > 1) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.placeOf(event));
    this.hasPen ||= event.pointerType === "pen";
    const isFinger = event.pointerType === "touch";
    if (this.pointers.size > 1 || (isFinger && this.hasPen) || event.button === 1 || this.hasSpace || this.painter.tool === "hand") {
      // A second finger means zoom: what the first one has begun to paint was not meant.
      if (!this.isMoving) this.painter.cancel();
      this.isMoving = true;
      return;
    }
    this.painter.press(...this.viewport.toPicture(...this.placeOf(event)), pressureOf(event));
    this.drawing.request();
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    const place = this.placeOf(event);
    if (before === undefined || !this.isMoving) this.showCursor(place);
    if (before === undefined) return;
    if (this.isMoving) {
      this.moveView(event.pointerId, before, place);
    } else {
      for (const part of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
        this.painter.move(...this.viewport.toPicture(...this.placeOf(part)), pressureOf(part));
      }
    }
    this.pointers.set(event.pointerId, place);
  }

  up(event, isCancelled) {
    if (!this.pointers.delete(event.pointerId)) return;
    if (!this.isMoving && isCancelled) this.painter.cancel();
    else if (!this.isMoving) this.painter.release(...this.viewport.toPicture(...this.placeOf(event)));
    if (this.pointers.size === 0) this.isMoving = false;
    if (event.pointerType === "touch") this.leave();
  }

  leave() {
    if (this.pointers.size > 0) return;
    this.drawing.cursor = null;
    this.drawing.request();
  }

  showCursor(place) {
    const [x, y] = this.viewport.toPicture(...place);
    const hasBrush = this.painter.tool === "brush" || this.painter.tool === "eraser";
    this.drawing.cursor = hasBrush ? { x, y, radius: this.painter.size / 2 } : null;
    this.drawing.request();
  }

  moveView(id, before, place) {
    const other = [...this.pointers].find(([key]) => key !== id)?.[1];
    if (other === undefined) {
      this.viewport.pan(place[0] - before[0], place[1] - before[1]);
    } else {
      // Two fingers: the middle between them moves, their distance zooms.
      const factor = distance(other, place) / Math.max(1, distance(other, before));
      this.viewport.pan((place[0] - before[0]) / 2, (place[1] - before[1]) / 2);
      this.viewport.zoomTo(this.viewport.scale * factor, (other[0] + place[0]) / 2, (other[1] + place[1]) / 2);
    }
    this.drawing.request();
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    if (event.shiftKey) this.viewport.pan(-event.deltaY * lines - event.deltaX * lines, 0);
    else this.viewport.zoomTo(this.viewport.scale * WHEEL_STEP ** (-event.deltaY * lines), ...this.placeOf(event));
    this.drawing.request();
  }
}

function pressureOf(event) {
  return event.pointerType === "pen" ? Math.max(MIN_PRESSURE, event.pressure) : 1;
}

function distance(one, other) {
  return Math.hypot(one[0] - other[0], one[1] - other[1]);
}
