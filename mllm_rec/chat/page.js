// Outlines at once, scrolling to what is new, and pictures dropped or pasted anywhere. Everything else is the server's work.
(() => {
  const upload = () => document.querySelector("#input input[type=file]");
  const turns = () => document.querySelectorAll("#talk .turn");
  let newest = 1; // the greeting is there from the start

  const waiting = (said) => {
    document.querySelector("#outline .said").textContent = said;
    document.body.classList.add("thinking");
    document.getElementById("outline").scrollIntoView({ block: "nearest" });
  };

  // A message was sent: say it in the talk before the server answers.
  window.chatBegins = (message, picture) => {
    if (message.trim() || picture) waiting(message.slice(0, 600));
    window.chatPicture(null);
    return [message, picture];
  };

  // A button was clicked: likes change in place, what brings a list shows outlines.
  window.chatActs = (button) => {
    const deed = button.dataset.do;
    if (!["like", "dislike", "forget", "unpicture"].includes(deed)) waiting(deed === "say" ? button.dataset.what : "");
    button.closest("[popover]")?.hidePopover();
  };

  window.chatEnds = () => {
    document.body.classList.remove("thinking");
    const last = [...turns()].at(-1);
    const number = Number(last?.dataset.turn ?? 0);
    if (number > newest) last.scrollIntoView({ block: "start", behavior: "smooth" });
    newest = number;
  };

  // A picture waits for the next message: show it beside the input.
  window.chatPicture = (picture) => {
    const ready = document.getElementById("ready");
    const image = ready.querySelector("img");
    URL.revokeObjectURL(image.src);
    if (picture) image.src = URL.createObjectURL(picture);
    ready.classList.toggle("filled", Boolean(picture));
    if (picture) document.querySelector("#message textarea").focus();
  };
  document.addEventListener("change", (event) => {
    if (event.target === upload() && event.target.files.length) window.chatPicture(event.target.files[0]);
  }, true);

  const give = (files) => {
    const picture = [...files].find((file) => file.type.startsWith("image/"));
    const input = upload();
    if (!picture || !input) return false;
    const transfer = new DataTransfer();
    transfer.items.add(picture);
    input.files = transfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  };

  document.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (give(event.dataTransfer.files)) event.preventDefault();
  });
  document.addEventListener("paste", (event) => {
    if (give(event.clipboardData?.files ?? [])) event.preventDefault();
  });
})();
