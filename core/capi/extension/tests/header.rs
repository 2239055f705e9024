//! Regenerates the C header of the extension's own functions and compares it with the one that is checked in.

use std::path::Path;

const HEADER: &str = "\
/* The C ABI of the extension, beside that of keystart.h, whose rules it follows.
 * Generated from core/capi/extension/src/lib.rs; change it there.
 */
";

fn generated() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(folder.join("../reader/cbindgen.toml")).expect("it is readable");
    config.header = Some(HEADER.to_owned());
    config.include_guard = Some("KEYSTART_EXTENSION_H".to_owned());
    config.includes = vec!["keystart.h".to_owned()];
    config.sys_includes.clear();
    let mut header = Vec::new();
    let builder = cbindgen::Builder::new().with_config(config).with_src(folder.join("src/lib.rs"));
    builder.generate().expect("the C ABI is expressible").write(&mut header);
    String::from_utf8(header).expect("the header is text")
}

#[test]
fn the_header_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/keystart_extension.h");
    let header = generated();
    if std::env::var_os("KEYSTART_WRITE_HEADER").is_some() {
        std::fs::write(&path, &header).expect("the header can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == header, "keystart_extension.h has drifted: run this test with KEYSTART_WRITE_HEADER=1");
}
