const buttons = document.querySelectorAll(".filters button");
const groups = document.querySelectorAll(".group");
for (const button of buttons) {
  button.addEventListener("click", () => {
    for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    const wanted = button.dataset.show;
    for (const group of groups) {
      let any = false;
      for (const card of group.querySelectorAll(".card")) {
        card.hidden = !(wanted === "all" || card.dataset.truth === wanted || card.classList.contains(wanted));
        any = any || !card.hidden;
      }
      group.hidden = !any;
    }
  });
}
document.querySelector(".filters").hidden = false;

const show = (card) => { if (card && card.hidden) buttons[0].click(); };
addEventListener("hashchange", () => show(document.querySelector(location.hash || "#top")));

const dialog = document.querySelector("dialog");
document.addEventListener("click", (event) => {
  const pair = event.target.closest("button.pair");
  if (pair && dialog.showModal) {
    dialog.querySelector(".pair").replaceChildren(...[...pair.children].map((image) => image.cloneNode()));
    dialog.querySelector("p").textContent = pair.closest(".card").querySelector(".verdict").innerText;
    dialog.showModal();
  } else if (event.target === dialog || event.target.closest("dialog button")) {
    dialog.close();
  }
});
