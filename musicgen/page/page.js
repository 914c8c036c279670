// Joins the page: what is clicked and pressed, and what is shown of it.

const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
for (const take of data.takes) take.end = Math.max(take.length, take.sound || 0);

const voices = data.takes.map((_, n) => at(`sound-${n + 1}`));
const hasSound = voices.every(Boolean);
const roll = new Roll(at("roll"), at("scroll"), at("length"), data);
const player = new Player(data.takes, hasSound ? voices : null, show);
let shownTake = -1;

function button(text, pressed, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  if (pressed !== null) made.setAttribute("aria-pressed", String(pressed));
  made.addEventListener("click", act);
  return made;
}

/** Show where the player stands; with an error, that it can't be heard. */
function show(error) {
  const take = player.take, time = player.time;
  if (shownTake !== player.number) showTake();
  at("play").textContent = player.playing ? "Pause" : "Play";
  at("loop").setAttribute("aria-pressed", String(player.looping));
  const bar = Math.min(lastAtMost(take.bars, time) + 1, take.bars.length);
  const place = `bar ${bar} of ${take.bars.length}`, clock = `${clockOf(time)} of ${clockOf(take.end)}`;
  at("place").textContent = `${place} · ${clock.replace(" of ", " / ")}`;
  at("seek").value = String(Math.round(time));
  at("seek").setAttribute("aria-valuetext", `${place}, ${clock}`);
  if (error) at("said").textContent = "This browser can't play Ogg Vorbis: save the MIDI file, or try another browser.";
  roll.draw(take, time, player.looping);
}

function showTake() {
  shownTake = player.number;
  const take = player.take;
  data.takes.forEach((_, n) => { at(`take-${n + 1}`).hidden = n !== shownTake; });
  for (const [n, made] of [...at("takes").children].entries()) made.setAttribute("aria-pressed", String(n === shownTake));
  at("seek").max = String(take.end);
  at("loop").hidden = !take.loop;
  at("loop").textContent = take.span && take.span[1] !== null ? "Loop the new bars" : "Loop the seam";
  at("roll").setAttribute("aria-label", described(take));
  if (data.takes.length > 1) at("said").textContent = saidOf(take);
  const mine = new Map(take.parts.map((each) => [each.part, each.is_new]));
  const all = [...mine.values()].every(Boolean);
  for (const [n, row] of [...at("parts").querySelectorAll("label")].entries()) {
    row.hidden = !mine.has(n);
    row.querySelector("em").hidden = all || !mine.get(n);
  }
  at("parts").hidden = !mine.size;
}
function saidOf(take) {
  const number = `Take ${shownTake + 1}`;
  return `${number} of ${data.takes.length}${take.label === number ? "" : `: ${take.label}`}`;
}
function described(take) {
  const names = take.parts.map(({ part }) => data.parts[part].name).join(", ");
  const from = take.span ? `, new music from bar ${take.bar}` : "";
  return `Piano roll of ${take.label}: ${take.bars.length} bars, ${clockOf(take.length)}${from}; parts: ${names}`;
}

function go(time) {
  player.seek(time);
  roll.show(player.time);
  show();
}
function goBars(count) {
  const [bar, share] = placeAt(player.take, player.time);
  // Back from just behind a bar line goes to the bar before, as a second press is meant to.
  const to = count < 0 && share * barLength(player.take, bar) > 400 ? bar : bar + count;
  go(to < 0 ? 0 : timeOf(player.take, [to, 0]));
}
function zoom(factor) {
  roll.zoom(factor, player.time);
  show();
}

const KEYS = {
  " ": () => player.toggle(),
  ArrowLeft: (event) => (event.shiftKey ? go(player.time - 1000) : goBars(-1)),
  ArrowRight: (event) => (event.shiftKey ? go(player.time + 1000) : goBars(1)),
  Home: () => go(0),
  l: () => player.loop(),
  s: () => player.take.span && go(player.take.span[0]),
  "+": () => zoom(1.5),
  "=": () => zoom(1.5),
  "-": () => zoom(1 / 1.5),
  0: () => zoom(0),
};
function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const number = /^[1-9]$/.test(key) ? Number(key) - 1 : -1;
  // What has the focus by keyboard does what its own space key does.
  if (key === " " && event.target.closest("button, a, summary, input[type=checkbox]")) return;
  if (number >= 0) player.choose(number);
  else if (KEYS[key]) KEYS[key](event);
  else return;
  event.preventDefault();
}

function partRow(part, n) {
  const row = document.createElement("label"), box = document.createElement("input");
  const swatch = document.createElement("span"), badge = document.createElement("em");
  box.type = "checkbox";
  box.checked = true;
  box.addEventListener("change", () => {
    if (box.checked) roll.hidden.delete(n); else roll.hidden.add(n);
    show();
  });
  swatch.className = `swatch c${part.colour}`;
  badge.textContent = "new";
  const same = part.name.toLowerCase().startsWith(part.instrument.toLowerCase());
  row.append(box, swatch, same ? part.name : `${part.name} (${part.instrument})`, " ", badge);
  return row;
}

function start() {
  document.documentElement.classList.add("js");
  at("desk").hidden = false;
  at("audio").hidden = true;
  data.takes.forEach((take, n) => at("takes").append(button(take.label, n === 0, () => player.choose(n))));
  at("takes").hidden = data.takes.length < 2;
  at("parts").append(...data.parts.map(partRow));
  at("play").addEventListener("click", () => player.toggle());
  at("loop").addEventListener("click", () => player.loop());
  at("closer").addEventListener("click", () => zoom(1.5));
  at("wider").addEventListener("click", () => zoom(1 / 1.5));
  at("fit").addEventListener("click", () => zoom(0));
  at("seek").addEventListener("input", () => go(Number(at("seek").value)));
  at("roll").addEventListener("click", (event) => go(roll.timeAt(event.offsetX)));
  at("scroll").addEventListener("scroll", () => show());
  document.addEventListener("keydown", pressed);
  // After a click the keys are the page's again: space plays, whatever was clicked.
  document.addEventListener("click", (event) => { if (event.detail) document.activeElement.blur(); });
  addEventListener("resize", () => { roll.resize(); show(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { roll.colours(); show(); });
  roll.resize();
  if (player.take.loop) go(player.take.loop[0]);  // what is new is what the page is for
  show();
  requestAnimationFrame(frame);
}
function frame() {
  if (player.playing) {
    player.tick();
    roll.show(player.time);
    show();
  }
  requestAnimationFrame(frame);
}
start();
