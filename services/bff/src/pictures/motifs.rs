//! What is in a picture: drawings in `pictures/`, 400 by 400, with letters in braces for colours.

/// A drawing and the nouns it shows.
const MOTIFS: [(&str, &[&str]); 52] = [
    (include_str!("../../pictures/backpack.svg"), &["backpack", "pack", "rucksack", "daypack"]),
    (include_str!("../../pictures/bag.svg"), &["coffee", "beans"]),
    (include_str!("../../pictures/bar.svg"), &["chocolate"]),
    (include_str!("../../pictures/blanket.svg"), &["blanket", "throw", "quilt", "plaid"]),
    (include_str!("../../pictures/board.svg"), &["board"]),
    (include_str!("../../pictures/book.svg"), &["book", "books", "novel", "atlas", "stories", "guide", "anthology"]),
    (include_str!("../../pictures/bottle.svg"), &["bottle", "oil", "flask", "thermos"]),
    (include_str!("../../pictures/bowl.svg"), &["bowl", "bowls", "colander"]),
    (include_str!("../../pictures/box.svg"), &["seed", "seeds", "box", "crate", "chest"]),
    (include_str!("../../pictures/brush.svg"), &["brush"]),
    (include_str!("../../pictures/bulb.svg"), &["bulb", "bulbs", "light", "lights"]),
    (include_str!("../../pictures/candle.svg"), &["candle", "candles", "candlestick"]),
    (include_str!("../../pictures/carafe.svg"), &["carafe", "decanter", "pitcher", "jug"]),
    (include_str!("../../pictures/cards.svg"), &["cards"]),
    (include_str!("../../pictures/chair.svg"), &["chair", "stool", "seat"]),
    (include_str!("../../pictures/chess.svg"), &["chess"]),
    (include_str!("../../pictures/clock.svg"), &["clock"]),
    (include_str!("../../pictures/cushion.svg"), &["cushion", "pillow"]),
    (include_str!("../../pictures/folded.svg"), &["tablecloth", "napkins", "napkin", "sheets", "sheet", "linens", "duvet", "curtain"]),
    (include_str!("../../pictures/game.svg"), &["game", "games", "dice"]),
    (include_str!("../../pictures/headlamp.svg"), &["headlamp", "torch", "flashlight"]),
    (include_str!("../../pictures/headphones.svg"), &["headphones", "headset", "earbuds", "earphones"]),
    (include_str!("../../pictures/house.svg"), &["birdhouse"]),
    (include_str!("../../pictures/jar.svg"), &["honey", "tea", "jam", "jar", "canister", "spice"]),
    (include_str!("../../pictures/kettle.svg"), &["kettle", "teapot", "moka"]),
    (include_str!("../../pictures/knife.svg"), &["knife", "cleaver", "knives"]),
    (include_str!("../../pictures/lamp.svg"), &["lamp"]),
    (include_str!("../../pictures/microphone.svg"), &["microphone", "mic"]),
    (include_str!("../../pictures/mug.svg"), &["mug", "cup", "mugs", "cups", "teacup"]),
    (include_str!("../../pictures/notebook.svg"), &["notebook", "journal", "planner", "diary", "sketchbook"]),
    (include_str!("../../pictures/openbook.svg"), &["cookbook", "poems", "poetry", "essays"]),
    (include_str!("../../pictures/pan.svg"), &["skillet", "pan", "wok", "griddle"]),
    (include_str!("../../pictures/pen.svg"), &["pen", "pencil", "marker"]),
    (include_str!("../../pictures/pendant.svg"), &["pendant", "lantern", "chandelier", "shade"]),
    (include_str!("../../pictures/plant.svg"), &["planter", "pot", "plant", "succulent", "fern"]),
    (include_str!("../../pictures/plate.svg"), &["plate", "plates", "platter", "dish"]),
    (include_str!("../../pictures/pruner.svg"), &["pruner", "pruners", "shears", "secateurs", "scissors"]),
    (include_str!("../../pictures/puzzle.svg"), &["puzzle", "jigsaw"]),
    (include_str!("../../pictures/radio.svg"), &["radio", "receiver"]),
    (include_str!("../../pictures/robe.svg"), &["robe", "apron", "coat"]),
    (include_str!("../../pictures/rug.svg"), &["rug", "mat", "carpet", "runner", "doormat"]),
    (include_str!("../../pictures/sleepingbag.svg"), &["sleeping"]),
    (include_str!("../../pictures/soap.svg"), &["soap"]),
    (include_str!("../../pictures/speaker.svg"), &["speaker", "speakers", "soundbar", "subwoofer"]),
    (include_str!("../../pictures/tent.svg"), &["tent", "tarp", "shelter"]),
    (include_str!("../../pictures/towel.svg"), &["towel", "towels"]),
    (include_str!("../../pictures/toy.svg"), &["toy", "train", "blocks", "tractor", "truck", "car"]),
    (include_str!("../../pictures/tray.svg"), &["organizer", "tray", "organiser"]),
    (include_str!("../../pictures/trowel.svg"), &["trowel", "spade", "shovel", "rake", "hoe"]),
    (include_str!("../../pictures/turntable.svg"), &["turntable", "record", "vinyl"]),
    (include_str!("../../pictures/vase.svg"), &["vase"]),
    (include_str!("../../pictures/wateringcan.svg"), &["watering", "can"]),
];

/// A category and the noun that stands for it when the title has none that is known.
const CATEGORIES: [(&str, &str); 14] = [
    ("kitchen", "mug"),
    ("home", "vase"),
    ("garden", "planter"),
    ("books", "book"),
    ("office", "notebook"),
    ("outdoor", "tent"),
    ("toys", "toy"),
    ("audio", "speaker"),
    ("lighting", "pendant"),
    ("textiles", "tablecloth"),
    ("table", "plate"),
    ("bath", "towel"),
    ("games", "game"),
    ("pantry", "honey"),
];

/// The drawing for an item.
pub(super) fn of(title: &str, category: &str) -> &'static str {
    let title = title.to_lowercase();
    let words = title.split(|c: char| !c.is_alphanumeric()).rev();
    let category = CATEGORIES.iter().find(|(name, _)| *name == category).map_or("box", |(_, noun)| *noun);
    words.chain([category]).find_map(showing).unwrap_or(MOTIFS[0].0)
}

fn showing(noun: &str) -> Option<&'static str> {
    MOTIFS.iter().find(|(_, nouns)| nouns.contains(&noun)).map(|(motif, _)| *motif)
}

/// Every noun that has a drawing.
#[cfg(test)]
pub(super) fn nouns() -> impl Iterator<Item = &'static str> {
    MOTIFS.iter().flat_map(|(_, nouns)| nouns.iter().copied())
}
