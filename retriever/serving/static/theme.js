// Colours: as the system has them, unless somebody chooses.

const NAMES = { auto: "as the system", light: "light", dark: "dark" };
const NEXT = { auto: "light", light: "dark", dark: "auto" };

export function themes(button) {
  const apply = (theme) => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.setAttribute("aria-label", `Colours: ${NAMES[theme]}`);
    button.title = `Colours: ${NAMES[theme]}`;
  };
  let theme = stored();
  apply(theme);
  button.addEventListener("click", () => {
    theme = NEXT[theme];
    apply(theme);
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // without storage it lasts as long as the page
    }
  });
}

function stored() {
  try {
    const theme = localStorage.getItem("theme");
    return theme in NAMES ? theme : "auto";
  } catch {
    return "auto";
  }
}
