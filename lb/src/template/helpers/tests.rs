//! The page about the helpers is true: every helper stands there, and every example gives what stands beside it.

use std::collections::BTreeSet;

use super::all_names;
use crate::template::engine::tests::text;

const PAGE: &str = include_str!("../../../../docs/template-helpers.md");

/// consul-template's own functions and Go's (0.42), without those of sprig.
const CONSUL_TEMPLATE: &str = "service services connect node nodes datacenters key keyExists keyOrDefault ls safeLs tree \
    safeTree file caRoots caLeaf peerings partitions exportedServices importedServices secret secrets pkiCert nomadServices \
    nomadService nomadVar nomadVarExists nomadVarList nomadVarListSafe scratch.Key scratch.Get scratch.Set scratch.SetX \
    scratch.MapSet scratch.MapSetX scratch.MapValues byKey byTag byPort byMeta contains containsAll containsAny \
    containsNone containsNotAll in explode explodeMap mergeMap mergeMapWithOverride loop env mustEnv envOrDefault join \
    split splitToMap trim trimPrefix trimSuffix trimSpace replaceAll regexReplaceAll regexMatch indent toLower toUpper \
    toTitle base64Decode base64Encode base64URLDecode base64URLEncode sha256Hex md5sum hmacSHA256Hex parseBool parseFloat \
    parseInt parseUint parseJSON parseYAML toJSON toJSONPretty toUnescapedJSON toUnescapedJSONPretty toYAML toTOML \
    timestamp plugin sockaddr executeTemplate writeToFile spew_dump spew_printf spew_sdump spew_sprintf add subtract \
    multiply divide modulo minimum maximum and or not eq ne lt le gt ge len index slice print printf println html js \
    urlquery call";

/// The cells of the page's tables, row by row.
fn rows() -> Vec<Vec<String>> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| "));
    rows.map(|line| {
        let line = line
            .trim_matches(' ')
            .trim_matches('|')
            .replace("\\|", "\u{0}");
        let cell = |cell: &str| cell.trim().replace('\u{0}', "|");
        line.split('|').map(cell).collect()
    })
    .collect()
}

fn code(cell: &str) -> &str {
    cell.strip_prefix('`')
        .and_then(|cell| cell.strip_suffix('`'))
        .unwrap_or(cell)
}

#[test]
fn every_example_gives_what_stands_beside_it() {
    let mut shown = BTreeSet::new();
    let mut wrong = Vec::new();
    for row in rows() {
        let [_, helper, example, gives] = row.as_slice() else {
            continue;
        };
        if helper == "here" {
            continue;
        }
        shown.insert(code(helper).to_owned());
        if !example.contains(code(helper)) {
            wrong.push(format!("{helper} is not in its example {example}"));
        }
        let found = text(code(example));
        let is_right = if gives == "–" {
            !found.starts_with("error")
        } else {
            found == code(gives)
        };
        if !is_right {
            wrong.push(format!("{example} gives {found:?}, not {gives}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let names: BTreeSet<String> = all_names().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(shown, names, "the page and the helpers");
}

#[test]
fn every_function_of_consul_template_is_listed() {
    let mut listed = BTreeSet::new();
    for row in rows() {
        let names = row[0].split(", ").map(code);
        listed.extend(names.filter_map(|name| name.split(' ').next().map(str::to_owned)));
    }
    let missing: Vec<&str> = CONSUL_TEMPLATE
        .split_whitespace()
        .filter(|name| !listed.contains(*name))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn every_usage_names_its_helper() {
    for (name, usage) in all_names() {
        assert!(usage.contains(name), "{name}: {usage}");
    }
}
