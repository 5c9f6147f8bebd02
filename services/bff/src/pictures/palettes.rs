//! Colours that go together.

/// The colours of a picture, as SVG reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Palette {
    /// Behind everything, at the edge.
    pub(super) ground: &'static str,
    /// Below the thing.
    pub(super) shade: &'static str,
    main: &'static str,
    dark: &'static str,
    accent: &'static str,
    /// Behind everything, in the middle; and labels.
    pub(super) pale: &'static str,
}

const PALETTES: [Palette; 10] = [
    Palette { ground: "#ecdccb", shade: "#c9b298", main: "#c8623f", dark: "#9c4427", accent: "#2f4858", pale: "#fbf5ec" },
    Palette { ground: "#d6e3da", shade: "#a9bdb0", main: "#4f7f6b", dark: "#355a4b", accent: "#e0a458", pale: "#f5faf6" },
    Palette { ground: "#d7deec", shade: "#a9b4cc", main: "#4a62a0", dark: "#324578", accent: "#e8b04b", pale: "#f6f8fc" },
    Palette { ground: "#efdad8", shade: "#cdaeab", main: "#b65a6c", dark: "#8c3f50", accent: "#3d5a6c", pale: "#fcf5f4" },
    Palette { ground: "#f0e3c0", shade: "#cfbd8e", main: "#d9a441", dark: "#a97a26", accent: "#40584f", pale: "#fdf9ec" },
    Palette { ground: "#d1e3e8", shade: "#a0bcc4", main: "#3f8196", dark: "#2b5d6e", accent: "#e07a5f", pale: "#f4fafb" },
    Palette { ground: "#e2d8ea", shade: "#b9abc6", main: "#7d5ba6", dark: "#5a3f7d", accent: "#e2b55a", pale: "#f9f6fb" },
    Palette { ground: "#e2ddd4", shade: "#b9b2a5", main: "#6b6259", dark: "#4a433c", accent: "#c8553d", pale: "#f8f6f2" },
    Palette { ground: "#dce8d0", shade: "#b1c29f", main: "#7a9e4b", dark: "#587531", accent: "#bf5b3d", pale: "#f7fbf2" },
    Palette { ground: "#f4d9c6", shade: "#d2b096", main: "#e08a4f", dark: "#b3652f", accent: "#3b5b6d", pale: "#fdf6ef" },
];

/// Words that say a colour: the thing itself and its shaded side.
const MATERIALS: [(&[&str], &str, &str); 18] = [
    (&["copper"], "#c67b4c", "#945430"),
    (&["brass", "gold"], "#c9a24a", "#96762e"),
    (&["amber", "honey"], "#d9952f", "#a66c1b"),
    (&["steel", "titanium", "zinc", "enamel", "aluminium", "insulated"], "#a3adb4", "#737e86"),
    (&["iron", "cast", "black", "charcoal", "smoke", "carbon", "nonstick"], "#4b5158", "#2e3338"),
    (&["white", "porcelain", "chalk", "marble", "ceramic"], "#f2efe8", "#cbc5b8"),
    (&["bamboo", "beech", "birch", "woven", "jute", "sisal"], "#dcbf8d", "#b0905c"),
    (&["oak", "cork", "cedar", "pine"], "#c4955c", "#95693a"),
    (&["walnut", "acacia", "teak", "leather", "wooden", "wood"], "#87603f", "#5f4028"),
    (&["glass", "clear"], "#a9d0d8", "#78aab5"),
    (&["terracotta"], "#c8623f", "#9c4427"),
    (&["indigo", "midnight", "navy"], "#3f5290", "#2b3a6b"),
    (&["sage", "moss"], "#8ba888", "#647f62"),
    (&["olive"], "#8b8d4a", "#626431"),
    (&["concrete", "stone", "stoneware", "slate"], "#a5a39c", "#7b7871"),
    (&["linen", "flannel"], "#d6c7ab", "#ab9a7a"),
    (&["velvet", "corduroy"], "#7a3b52", "#562639"),
    (&["lavender"], "#9b8bc4", "#7263a0"),
];

/// The palette of a thing with this seed and title.
pub(super) fn of(seed: u64, title: &str) -> Palette {
    let palette = PALETTES[usize::try_from(seed % PALETTES.len() as u64).unwrap_or_default()];
    let words = title.to_lowercase();
    let material = MATERIALS.iter().find(|(names, ..)| words.split(|c: char| !c.is_alphanumeric()).any(|word| names.contains(&word)));
    material.map_or(palette, |(_, main, dark)| Palette { main, dark, ..palette })
}

impl Palette {
    /// A motif in these colours: `{a}` the thing, `{b}` its shaded side, `{c}` an accent, `{d}` labels, `{e}` holes.
    pub(super) fn paint(&self, motif: &str) -> String {
        let colours = [("{a}", self.main), ("{b}", self.dark), ("{c}", self.accent), ("{d}", self.pale), ("{e}", self.shade)];
        colours.iter().fold(motif.to_owned(), |motif, (token, colour)| motif.replace(token, colour))
    }
}
