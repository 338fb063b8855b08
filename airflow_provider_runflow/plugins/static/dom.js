// SPDX-License-Identifier: Apache-2.0
// Making elements. Texts become text nodes: nothing that a prompt or a label holds is read as HTML.

export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && !name.startsWith("aria-") && name !== "list") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

// Writes only what is new: a screen reader reads out a live region whenever it is written.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The page asks for a text to be read out without moving the focus.
export function announce(text) {
  let live = byId("announcer");
  if (!live) {
    live = el("div", { id: "announcer", class: "for-readers", role: "status" });
    document.body.append(live);
  }
  say(live, text);
}

// Within Airflow's frame a link must change the page around it. The frame's sandbox forbids that to the frame, but
// not to the page of the same origin that holds it: the link that is clicked is one of its own. So it is with downloads,
// which the frames of Airflow 3.1 and 3.2 do not allow.
function clickOutside(properties) {
  let place = document;
  try {
    place = window.parent.document;
  } catch {
    // embedded by another origin: then from here
  }
  const outside = place.createElement("a");
  Object.assign(outside, properties);
  place.body.append(outside);
  outside.click();
  outside.remove();
}

const isPlain = (event) => !(event.metaKey || event.ctrlKey || event.shiftKey);

export function airflowLink(path, ...children) {
  const href = base() + path;
  return el("a", {
    href,
    onclick: (event) => {
      if (window.parent === window || !isPlain(event)) return;
      event.preventDefault();
      clickOutside({ href });
    },
  }, ...children);
}

// A link that saves what `fetchIt` brings, a name and a blob. A link alone does not carry the identity that Airflow 3.1
// keeps in the page, and where the server refuses, the browser would show its answer in place of this page.
export function saveLink(href, fetchIt, ...children) {
  const said = el("span", { class: "muted", role: "status" });
  const onclick = async (event) => {
    if (!isPlain(event)) return;
    event.preventDefault();
    say(said, "");
    try {
      const { name, blob } = await fetchIt(href);
      const local = URL.createObjectURL(blob);
      clickOutside({ href: local, download: name });
      setTimeout(() => URL.revokeObjectURL(local), 60000);
    } catch (error) {
      say(said, error.message || "It cannot be downloaded.");
    }
  };
  return [el("a", { href, onclick }, ...children), said];
}

// What Airflow is served under: this page is at <base>/runflow/pictures.
export function base() {
  return window.location.pathname.replace(/\/runflow\/pictures\/?$/, "");
}

export async function copy(text, button) {
  const said = button.textContent;
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    // Without https there is no clipboard to write to; the old way works there.
    const field = el("textarea", { value: text, class: "for-readers", readOnly: true });
    button.parentNode.append(field);
    field.select();
    done = document.execCommand("copy");
    field.remove();
    button.focus();
  }
  button.textContent = done ? "Copied" : "Cannot copy here";
  announce(button.textContent);
  setTimeout(() => {
    button.textContent = said;
    announce(""); // so that the next one is read out, too
  }, 1500);
}
