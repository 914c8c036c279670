"use strict";
// Plays one of several takes. Times are milliseconds from the start of the piece; audio elements count in seconds.

/** Moves on like an audio element, without a sound. */
class Clock {
  constructor(seconds) {
    this.duration = seconds;
    this.at = 0;
    this.since = null;
  }
  get paused() { return this.since === null; }
  get currentTime() {
    const gone = this.paused ? 0 : (performance.now() - this.since) / 1000;
    return Math.min(this.at + gone, this.duration);
  }
  set currentTime(seconds) {
    this.at = Math.max(0, Math.min(seconds, this.duration));
    if (!this.paused) this.since = performance.now();
  }
  play() {
    this.since = performance.now();
    return Promise.resolve();
  }
  pause() {
    this.at = this.currentTime;
    this.since = null;
  }
}

/** The index of the last of the ascending `values` that is at most `value`; 0 if none is. */
function lastAtMost(values, value) {
  let low = 0, high = values.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle] <= value) low = middle; else high = middle;
  }
  return low;
}

/** The length of bar `number` of a take; behind the last one, as long as that. */
function barLength(take, number) {
  const bars = take.bars, n = Math.min(number, bars.length - 1);
  if (n + 1 < bars.length) return Math.max(1, bars[n + 1] - bars[n]);
  return Math.max(1, n > 0 ? bars[n] - bars[n - 1] : take.length);
}

/** The bar, counted from 0, and the share of it that is over. */
function placeAt(take, time) {
  const bar = lastAtMost(take.bars, time);
  return [bar, (time - take.bars[bar]) / barLength(take, bar)];
}

/** The time of a place in another take. */
function timeOf(take, [bar, share]) {
  const last = take.bars.length - 1;
  const time = bar <= last ? take.bars[bar] + share * barLength(take, bar) : take.length;
  return Math.max(0, Math.min(time, take.end));
}

class Player {
  /** `voices` are audio elements, or null for silence; `changed` is called when something else is to be shown. */
  constructor(takes, voices, changed) {
    this.takes = takes;
    this.changed = changed;
    this.voices = takes.map((take, n) => (voices ? voices[n] : new Clock(take.end / 1000)));
    this.number = 0;
    this.playing = false;
    this.looping = false;
    for (const voice of voices || []) {
      voice.addEventListener("timeupdate", () => this.tick());  // also where no frames are drawn, in another tab
      voice.addEventListener("ended", () => this.tick());
      voice.addEventListener("seeked", () => this.changed());
      voice.addEventListener("play", () => this.heldBy(voice, true));
      voice.addEventListener("pause", () => this.heldBy(voice, false));
    }
  }
  get take() { return this.takes[this.number]; }
  get voice() { return this.voices[this.number]; }
  get time() { return Math.min(1000 * this.voice.currentTime, this.take.end); }

  /** Follow what the keys of a keyboard or headphones do to a sound. */
  heldBy(voice, playing) {
    if (voice !== this.voice || voice.ended || playing === this.playing) return;
    this.playing = playing;
    this.changed();
  }
  play() {
    if (this.time >= this.take.end - 20) this.voice.currentTime = 0;
    this.playing = true;
    const begun = this.voice.play();
    if (begun) begun.catch((error) => {
      if (error.name === "AbortError") return;  // paused before it began
      this.playing = false;
      this.changed(error);
    });
    this.changed();
  }
  pause() {
    this.playing = false;
    this.voice.pause();
    this.changed();
  }
  toggle() {
    if (this.playing) this.pause(); else this.play();
  }
  seek(time) {
    const to = Math.max(0, Math.min(time, this.take.end));
    if (this.looping && (to < this.take.loop[0] || to >= this.take.loop[1])) this.looping = false;
    this.voice.currentTime = to / 1000;
    this.changed();
  }
  /** Go on with another take at the same place. */
  choose(number) {
    if (number === this.number || !this.takes[number]) return;
    const to = timeOf(this.takes[number], placeAt(this.take, this.time));
    const before = this.voice, playing = this.playing;
    this.number = number;
    if (!this.take.loop) this.looping = false;
    this.voice.currentTime = to / 1000;
    before.pause();
    this.playing = playing;
    if (playing) this.play(); else this.changed();
  }
  /** Play around the seam again and again, or no longer. */
  loop() {
    if (!this.take.loop) return;
    this.looping = !this.looping;
    if (!this.looping) return void this.changed();
    const [begin, end] = this.take.loop;
    if (this.time < begin || this.time >= end) this.voice.currentTime = begin / 1000;
    this.play();
  }
  /** Look whether the loop or the piece is over. */
  tick() {
    if (!this.playing) return;
    if (this.looping && this.time >= Math.min(this.take.loop[1], this.take.end - 10)) {
      this.voice.currentTime = this.take.loop[0] / 1000;
      if (this.voice.paused) this.play();
    } else if (this.time >= this.take.end - 1 || this.voice.ended) {
      this.pause();
    }
  }
}
