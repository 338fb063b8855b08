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

// The page asks for a text to be read out without moving the focus.
export function announce(text) {
  let live = byId("announcer");
  if (!live) {
    live = el("div", { id: "announcer", class: "for-readers", role: "status" });
    document.body.append(live);
  }
  live.textContent = text;
}

// Within Airflow's frame a link must change the page around it. The frame's sandbox forbids that to the frame, but
// not to the page of the same origin that holds it: the link that is clicked is one of its own.
export function airflowLink(path, ...children) {
  const address = base() + path;
  return el("a", {
    href: address,
    onclick: (event) => {
      if (window.parent === window || event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      try {
        const outside = window.parent.document.createElement("a");
        outside.href = address;
        window.parent.document.body.append(outside);
        outside.click();
        outside.remove();
      } catch {
        window.location.assign(address);
      }
    },
  }, ...children);
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
  setTimeout(() => { button.textContent = said; }, 1500);
}
