// Draws a take as a piano roll. Sizes are in pixels of CSS, times in milliseconds.

const TOP = 26, BOTTOM = 22, DRUM_ROW = 8, GAP = 6;
const BLACK = new Set([1, 3, 6, 8, 10]);

/** How many pixels of CSS a line of text takes. */
function wide(context, text) { return context.measureText(text).width; }

/** The first of the ascending steps of which `size(step)` is at least `least`. */
function stepFor(steps, size, least) {
  return steps.find((step) => size(step) >= least) || steps[steps.length - 1];
}

function clockOf(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000 + 1e-6);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

class Roll {
  constructor(canvas, scroller, length, { parts, takes }) {
    Object.assign(this, { canvas, scroller, length, parts, takes });
    this.end = Math.max(...takes.map((take) => take.end), 1);
    this.hidden = new Set();
    this.measure();
  }

  /** The rows that any take needs, so that takes stand at the same height. */
  measure() {
    let low = 127, high = 0;
    const drums = new Set();
    for (const take of this.takes) {
      for (const { part, notes } of take.parts) {
        take.longest = take.longest || [];
        let longest = 0;
        for (let i = 0; i < notes.length; i += 4) {
          longest = Math.max(longest, notes[i + 1]);
          if (this.parts[part].drums) drums.add(notes[i + 2]);
          else { low = Math.min(low, notes[i + 2]); high = Math.max(high, notes[i + 2]); }
        }
        take.longest.push(longest);
      }
    }
    this.low = Math.max(0, low - 2);
    this.high = Math.min(127, high + 2);
    if (low > high) { this.low = 0; this.high = -1; }
    this.drumRows = new Map([...drums].sort((a, b) => b - a).map((pitch, row) => [pitch, row]));
  }

  /** Fit to the window; keeps the time in the middle where it is. */
  resize() {
    const rows = Math.max(1, this.high - this.low + 1), narrow = innerWidth < 600;
    const drums = this.drumRows.size * DRUM_ROW + (this.drumRows.size && this.high >= 0 ? GAP : 0);
    const melodic = this.high < 0 ? 0 : Math.max(narrow ? 150 : 190, Math.min(rows * 8, narrow ? 280 : 400));
    this.height = Math.ceil(TOP + melodic + drums + BOTTOM);
    this.row = this.high < 0 ? 0 : melodic / rows;
    this.drumTop = this.height - BOTTOM - this.drumRows.size * DRUM_ROW;
    this.width = this.scroller.clientWidth;
    const density = devicePixelRatio || 1;
    this.canvas.width = Math.round(this.width * density);
    this.canvas.height = Math.round(this.height * density);
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.context = this.canvas.getContext("2d");
    this.context.setTransform(density, 0, 0, density, 0, 0);
    const least = this.width / (this.end * 1.02);
    if (this.scale === undefined) {  // both edges of a hole are seen, unless it is long
      const loop = this.takes[0].loop, fits = loop ? 0.85 * this.width / (loop[1] - loop[0]) : 1;
      this.scale = Math.max(least, Math.min(0.045, Math.max(fits, 0.012)));
    }
    this.scale = Math.max(least, Math.min(this.scale, 0.6));
    this.length.style.width = `${Math.ceil(this.end * 1.02 * this.scale)}px`;
    this.colours();
  }
  colours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    this.ink = Object.fromEntries(
      ["roll", "black", "line", "bar", "text", "given", "seam", "seam-text", "head", "loop"].map((n) => [n, read(n)]));
    this.palette = Array.from({ length: 12 }, (_, n) => read(`part-${n}`));
  }

  /** Make everything `factor` times as wide, around the time `around`; 0 shows the whole. */
  zoom(factor, around) {
    const at = this.xOf(around);
    this.scale *= factor;
    this.resize();
    this.scroller.scrollLeft = around * this.scale - Math.max(0, Math.min(at, this.width));
  }
  xOf(time) { return time * this.scale - this.scroller.scrollLeft; }
  timeAt(x) { return (x + this.scroller.scrollLeft) / this.scale; }
  /** Scroll so that a time is seen. */
  show(time) {
    const x = this.xOf(time);
    if (x < 8 || x > 0.9 * this.width) this.scroller.scrollLeft = time * this.scale - 0.12 * this.width;
  }
  yOf(pitch) { return TOP + (this.high - pitch) * this.row; }

  draw(take, time, looping) {
    const c = this.context;
    c.clearRect(0, 0, this.width, this.height);
    c.font = "12px system-ui, sans-serif";
    c.textBaseline = "middle";
    this.ground(c, take, looping);
    this.bars(c, take);
    this.notes(c, take);
    this.names(c);
    this.seams(c, take);
    const x = this.xOf(time);
    c.fillStyle = this.ink.head;
    c.fillRect(x - 1, TOP - 8, 2, this.height - TOP - BOTTOM + 8);
    c.beginPath();
    c.moveTo(x - 6, TOP - 9); c.lineTo(x + 6, TOP - 9); c.lineTo(x, TOP);
    c.fill();
  }
  ground(c, take, looping) {
    const inside = this.height - TOP - BOTTOM;
    c.fillStyle = this.ink.roll;
    c.fillRect(0, TOP, this.width, inside);
    c.fillStyle = this.ink.black;
    for (let pitch = this.low; pitch <= this.high; pitch++) {
      if (BLACK.has(pitch % 12)) c.fillRect(0, this.yOf(pitch), this.width, this.row);
    }
    c.fillStyle = this.ink.given;
    for (const [begin, end] of this.given(take)) {
      c.fillRect(this.xOf(begin), TOP, (end - begin) * this.scale, inside);
    }
    if (looping && take.loop) {
      c.fillStyle = this.ink.loop;
      c.fillRect(this.xOf(take.loop[0]), TOP - 5, (take.loop[1] - take.loop[0]) * this.scale, 5);
    }
  }
  /** The stretches that stood there before. */
  given(take) {
    if (!take.span) return [];
    const [begin, end] = take.span;
    return [[0, begin], ...(end === null ? [] : [[end, take.end]])];
  }
  bars(c, take) {
    const first = lastAtMost(take.bars, this.timeAt(0)), usual = barLength(take, first) * this.scale;
    const step = stepFor([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024], (n) => n * usual, 34);
    for (let n = first; n < take.bars.length; n++) {
      const x = Math.round(this.xOf(take.bars[n]));
      if (x > this.width) break;
      const named = n % step === 0;
      if (named || usual > 5) {
        c.fillStyle = named ? this.ink.bar : this.ink.line;
        c.fillRect(x, TOP - (named ? 6 : 0), 1, this.height - TOP - BOTTOM + (named ? 6 : 0));
      }
      c.fillStyle = this.ink.text;
      c.textAlign = "left";
      if (named && x > -30) c.fillText(String(n + 1), x + 3, TOP / 2 - 3);
    }
    const seconds = stepFor([1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800], (s) => 1000 * s * this.scale, 64);
    c.textAlign = "center";
    for (let s = Math.floor(this.timeAt(0) / 1000 / seconds) * seconds; ; s += seconds) {
      const x = this.xOf(1000 * s);
      if (x > this.width || 1000 * s > this.end) break;
      c.fillStyle = this.ink.bar;
      c.fillRect(Math.round(x), this.height - BOTTOM, 1, 4);
      c.fillStyle = this.ink.text;
      const text = clockOf(1000 * s);
      const half = wide(c, text) / 2 + 2;
      // At the left edge only the beginning is moved into sight: another would run into the next.
      if (x >= half || !s) c.fillText(text, Math.max(x, x < 0 ? x : half), this.height - BOTTOM / 2 + 2);
    }
  }
  notes(c, take) {
    const left = this.timeAt(0), right = this.timeAt(this.width);
    const [begin, end] = take.span ? [take.span[0], take.span[1] === null ? Infinity : take.span[1]] : [0, 0];
    take.parts.forEach(({ part, is_new: isNew, notes }, number) => {
      if (this.hidden.has(part)) return;
      const drums = this.parts[part].drums;
      c.fillStyle = this.palette[this.parts[part].colour];
      for (let i = 4 * this.from(notes, left - take.longest[number]); i < notes.length && notes[i] < right; i += 4) {
        const x = this.xOf(notes[i]), w = Math.max(2, notes[i + 1] * this.scale - 1);
        if (x + w < 0) continue;
        const fresh = !take.span || (isNew && notes[i] >= begin - 1 && notes[i] < end);
        c.globalAlpha = (fresh ? 0.6 : 0.3) + 0.4 * notes[i + 3] / 127;
        if (drums) {
          c.fillRect(x, this.drumTop + this.drumRows.get(notes[i + 2]) * DRUM_ROW + 1, Math.min(w, 6), DRUM_ROW - 2);
        } else {
          const tall = Math.max(3, this.row - 1);
          c.fillRect(x, this.yOf(notes[i + 2]) + (this.row - tall) / 2, w, tall);
        }
      }
    });
    c.globalAlpha = 1;
  }
  /** The index of the first note that begins at `time` or later. */
  from(notes, time) {
    let low = 0, high = notes.length / 4;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (notes[4 * middle] < time) low = middle + 1; else high = middle;
    }
    return low;
  }
  /** The names of the Cs, and of the drums' rows together, at the left edge. */
  names(c) {
    c.textAlign = "left";
    const name = (text, y) => {
      c.globalAlpha = 0.8;
      c.fillStyle = this.ink.roll;
      c.fillRect(0, y - 7, wide(c, text) + 7, 14);
      c.globalAlpha = 1;
      c.fillStyle = this.ink.text;
      c.fillText(text, 3, y);
    };
    for (let pitch = this.low; pitch <= this.high; pitch++) {
      if (pitch % 12) continue;
      c.fillStyle = this.ink.line;
      c.fillRect(0, Math.round(this.yOf(pitch) + this.row), this.width, 1);
      name(`C${pitch / 12 - 1}`, Math.min(this.yOf(pitch) + this.row / 2, this.height - BOTTOM - 8));
    }
    if (!this.drumRows.size) return;
    c.fillStyle = this.ink.bar;
    c.fillRect(0, this.drumTop - GAP / 2, this.width, 1);
    name("drums", this.drumTop + this.drumRows.size * DRUM_ROW / 2);
  }
  seams(c, take) {
    if (!take.span) return;
    const flag = (time, text) => {
      const x = this.xOf(time), w = wide(c, text) + 10;
      if (time <= 0 || x < -w || x > this.width) return;
      c.fillStyle = this.ink.seam;
      c.fillRect(x - 1, TOP, 2, this.height - TOP - BOTTOM);
      const left = Math.min(x - 1, this.width - w);
      c.fillRect(left, TOP, w, 18);
      c.fillStyle = this.ink["seam-text"];
      c.textAlign = "left";
      c.fillText(text, left + 5, TOP + 9);
    };
    flag(take.span[0], "new");
    if (take.span[1] !== null) flag(take.span[1], "as it was");
  }
}
