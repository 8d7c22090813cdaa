"use strict";

const element = (id) => document.getElementById(id);
const most_classes = 10;
let current = null; // the attention shown

// What a server does with a text, by its endpoint.
const tasks = {
  "/translate": {
    button: "Translate",
    heading: "Hypotheses",
    show: (answer) => showHypotheses(answer.hypotheses),
  },
  "/predict": {
    button: "Classify",
    heading: "Classes",
    show: (answer) => showClasses(answer.classes),
  },
};
const endpoint = fetch("/task").then(async (response) => {
  const { endpoint } = await response.json();
  element("send").textContent = tasks[endpoint].button;
  element("found").textContent = tasks[endpoint].heading;
  return endpoint;
});

async function answerTo(text) {
  const response = await fetch(await endpoint, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function showClasses(classes) {
  const rows = classes.slice(0, most_classes).map(({ label, probability }) => {
    const row = document.createElement("li");
    row.className = "class";
    const said = document.createElement("span");
    said.className = "said";
    said.textContent = label;
    const bar = document.createElement("span");
    bar.className = "bar";
    bar.style.width = `${(100 * probability).toFixed(1)}%`;
    const score = document.createElement("span");
    score.className = "score";
    score.textContent = `${(100 * probability).toFixed(1)} %`;
    row.append(said, score, bar);
    return row;
  });
  element("hypotheses").replaceChildren(...rows);
  element("result").hidden = false;
}

function showHypotheses(hypotheses) {
  const rows = hypotheses.map((hypothesis) => {
    const row = document.createElement("li");
    const said = document.createElement("span");
    said.className = "said";
    said.textContent = hypothesis.text || "(nothing)";
    const score = document.createElement("span");
    score.className = "score";
    const cut = hypothesis.finished ? "" : ", cut";
    score.textContent = `${hypothesis.log_prob.toFixed(3)}${cut}`;
    score.title = "log-probability in nats, end included";
    row.append(said, score);
    row.tabIndex = 0;
    const choose = () => {
      for (const other of rows) other.setAttribute("aria-current", other === row);
      showAttention(hypothesis.attention);
    };
    row.addEventListener("click", choose);
    row.addEventListener("keydown", (event) => {
      if (event.key === "Enter") choose();
    });
    return row;
  });
  element("hypotheses").replaceChildren(...rows);
  element("result").hidden = false;
  rows[0].click();
}

function showAttention(attention) {
  current = attention;
  element("attention").hidden = !attention;
  if (!attention) return;
  offer("layer", attention.weights.length);
  offer("head", attention.weights[0].length);
  drawMap();
}

// Fills a choice with the mean and each number, and keeps what was chosen.
function offer(id, count) {
  const select = element(id);
  const chosen = select.value;
  const options = [new Option("mean", "")];
  for (let index = 0; index < count; index++) options.push(new Option(index, index));
  select.replaceChildren(...options);
  if (chosen !== "" && Number(chosen) < count) select.value = chosen;
}

const pick = (list, chosen) => (chosen === "" ? list : [list[Number(chosen)]]);

function drawMap() {
  const matrices = pick(current.weights, element("layer").value).flatMap((heads) =>
    pick(heads, element("head").value),
  );
  const weights = current.tgt_pieces.map((_, t) =>
    current.src_pieces.map(
      (_, s) => matrices.reduce((sum, matrix) => sum + matrix[t][s], 0) / matrices.length,
    ),
  );
  const most = Math.max(...weights.flat(), 1e-9);
  const head = document.createElement("thead");
  const top = head.insertRow();
  top.append(document.createElement("td"));
  for (const piece of current.src_pieces) {
    const cell = document.createElement("th");
    const label = document.createElement("span");
    label.textContent = piece;
    cell.append(label);
    top.append(cell);
  }
  const body = document.createElement("tbody");
  current.tgt_pieces.forEach((piece, t) => {
    const row = body.insertRow();
    const label = document.createElement("th");
    label.textContent = piece;
    row.append(label);
    current.src_pieces.forEach((source, s) => {
      const cell = row.insertCell();
      const share = weights[t][s] / most;
      cell.style.backgroundColor = `rgb(8 81 156 / ${share.toFixed(3)})`;
      cell.title = `${piece} from ${source}: ${weights[t][s].toFixed(3)}`;
    });
  });
  element("map").replaceChildren(head, body);
}

async function ask() {
  const began = performance.now();
  element("send").disabled = true;
  element("status").textContent = "Working…";
  element("error").hidden = true;
  const text = element("text").value;
  history.replaceState(null, "", `#${new URLSearchParams({ text })}`);
  try {
    const answer = await answerTo(text);
    tasks[await endpoint].show(answer);
    const secs = (performance.now() - began) / 1000;
    element("status").textContent = `${secs.toFixed(2)} s`;
  } catch (error) {
    element("status").textContent = "";
    element("result").hidden = true;
    element("error").textContent = error.message;
    element("error").hidden = false;
  } finally {
    element("send").disabled = false;
  }
}

element("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
element("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    element("ask").requestSubmit();
  }
});
for (const id of ["layer", "head"]) element(id).addEventListener("change", drawMap);

// The text stays in the address, after #, which is never sent: a reload asks it again.
function askAddress() {
  const text = new URLSearchParams(location.hash.slice(1)).get("text");
  if (text === null) return;
  element("text").value = text;
  ask();
}
window.addEventListener("hashchange", askAddress);
askAddress();
