use super::*;

#[test]
fn every_pack_is_right_and_bears_its_own_name() {
    for pack in PACKS {
        let merged = pack.merged().unwrap_or_else(|errors| panic!("{}: {errors:#?}", pack.name)).file;
        assert_eq!((merged.provider.as_str(), merged.extends), (pack.name, None));
        assert_eq!(merged.base_url.is_none(), pack.is_family(), "{}", pack.name);
        assert!(merged.description.is_some(), "{}", pack.name);
    }
    assert!(PACKS.is_sorted_by_key(|pack| pack.name));
}

#[test]
fn every_recorded_answer_and_header_is_read_for_what_it_is() {
    for pack in PACKS.iter().filter(|pack| !pack.is_family()) {
        let recorded = pack.recorded().unwrap_or_else(|error| panic!("{}: {error}", pack.name));
        let wrong = recorded.check(&pack.merged().unwrap().file);
        assert!(wrong.is_empty(), "{}:\n{}", pack.name, wrong.join("\n"));
    }
}

#[test]
fn every_rule_and_every_limit_that_is_told_was_recorded() {
    // A family's rules are met by what was recorded of any of its members.
    let members = || PACKS.iter().filter(|pack| !pack.is_family());
    for pack in members() {
        let (file, recorded) = (pack.merged().unwrap().file, pack.recorded().unwrap());
        let own = pack.read().unwrap().file;
        let family = |rule: &&tidegate_answer::ErrorRule| !own.errors.contains(rule) && own.extends.is_some();
        let unmet: Vec<_> = recorded.unmet(&file).into_iter().filter(|rule| !family(rule)).collect();
        assert!(unmet.is_empty(), "{}: {unmet:#?}", pack.name);
        let silent: Vec<_> = recorded.silent(&own);
        assert!(silent.is_empty(), "{}: {silent:?}", pack.name);
    }
    for family in PACKS.iter().filter(|pack| pack.is_family()) {
        let file = family.read().unwrap().file;
        let of_family = |pack: &&Pack| pack.read().unwrap().file.extends.as_deref() == Some(family.name);
        let unmet = file.errors.iter().filter(|rule| {
            members()
                .filter(of_family)
                .all(|pack| pack.recorded().unwrap().unmet(&pack.merged().unwrap().file).contains(rule))
        });
        let unmet: Vec<_> = unmet.collect();
        assert!(unmet.is_empty(), "{}: {unmet:#?}", family.name);
    }
}

#[test]
fn what_a_file_takes_for_something_else_is_told() {
    let recorded = Recorded::parse(
        "answers:\n  - { status: 429, means: rate_limited, scope: core }\n  - { status: 200, means: page }\n  \
         - { status: 404, means: gone }\nlimits:\n  - { limit: none, at: 2026-01-01T00:00:00Z, headers: {}, says: {} }\n",
    );
    let wrong = recorded.unwrap().check(&pack("github").unwrap().merged().unwrap().file);
    assert_eq!(wrong.len(), 3, "{wrong:#?}");
    assert!(wrong[1].contains("expected gone, found not_found"), "{wrong:#?}");
    assert!(Recorded::parse("answers: [ { status: 200 } ]").is_err());
}
