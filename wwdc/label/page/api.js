// The server's answers, and labels that survive a server that is away.
"use strict";

const Api = (() => {
  const token = document.querySelector("meta[name=token]").content;
  const KEY = `wwdc-pending-${location.host}`;
  let sending = null;
  let listener = () => {};

  const url = (path, query = {}) => {
    const all = Object.entries({ ...query, token }).filter(([, value]) => value != null);
    return `${path}?${new URLSearchParams(all)}`;
  };

  async function ask(path, query) {
    const answer = await fetch(url(path, query));
    if (!answer.ok) throw new Error(await reason(answer));
    return answer.status === 202 ? null : answer;
  }

  async function reason(answer) {
    const body = await answer.json().catch(() => ({}));
    return body.error || `the server answered ${answer.status}`;
  }

  const json = async (path, query) => (await ask(path, query)).json();

  // Not crypto.randomUUID: that is missing where a page is not served from a "secure" origin.
  function uuid() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }

  const pending = () => JSON.parse(localStorage.getItem(KEY) || "[]");
  const keep = (list) => {
    localStorage.setItem(KEY, JSON.stringify(list));
    listener(list.length);
  };

  // A label is kept in the browser until the server has it on its disk; a repeated uuid counts once.
  function label(event) {
    const whole = { uuid: uuid(), ...event };
    keep([...pending(), whole]);
    return flush().then((answers) => answers.find((a) => a.uuid === whole.uuid)?.answer ?? null);
  }

  function flush() {
    sending = (sending ?? Promise.resolve()).then(send);
    return sending;
  }

  async function send() {
    const answers = [];
    for (let next = pending()[0]; next; next = pending()[0]) {
      const answer = await post(next);
      if (answer === undefined) break; // the server is away: tried again later
      answers.push({ uuid: next.uuid, answer });
      keep(pending().filter((event) => event.uuid !== next.uuid));
    }
    return answers;
  }

  async function post(event) {
    let answer;
    try {
      answer = await fetch("api/label", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Token": token },
        body: JSON.stringify(event),
      });
    } catch {
      return undefined;
    }
    if (answer.status >= 500 || answer.status === 403) return undefined; // 403: a server of another run
    return answer.ok ? answer.json() : { error: await reason(answer) };
  }

  return {
    url,
    json,
    label,
    flush,
    pending,
    onPending: (heard) => { listener = heard; },
    image: (id, size) => url("api/image", { id, size }),
    async floats(path, query) {
      const answer = await ask(path, query);
      if (answer === null) return null;
      const bytes = await answer.arrayBuffer();
      return { headers: answer.headers, bytes };
    },
  };
})();
