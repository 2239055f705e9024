//! Regenerates the C header and compares it with the one that is checked in.

use std::path::Path;

fn generated() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).expect("cbindgen.toml is readable");
    let sources = ["bytes", "error", "reader", "writer"].map(|module| folder.join(format!("src/{module}.rs")));
    let builder = sources.iter().fold(cbindgen::Builder::new().with_config(config), cbindgen::Builder::with_src);
    let mut header = Vec::new();
    builder.generate().expect("the C ABI is expressible").write(&mut header);
    String::from_utf8(header).expect("the header is text")
}

#[test]
fn the_header_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/keystart.h");
    let header = generated();
    if std::env::var_os("KEYSTART_WRITE_HEADER").is_some() {
        std::fs::write(&path, &header).expect("the header can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == header, "include/keystart.h has drifted: run this test with KEYSTART_WRITE_HEADER=1");
}

#[test]
fn the_abi_has_at_most_25_functions() {
    let functions =
        generated().matches("\nuint32_t keystart_").count() + generated().matches("\nvoid keystart_").count();
    assert!((1..=25).contains(&functions), "{functions}");
}
