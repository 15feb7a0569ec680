use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

fn nets(text: &str) -> AddressRules {
    AddressRules { allow: text.parse().expect(text), deny: Vec::new() }
}

#[test]
fn public_addresses_lie_in_no_range() {
    for text in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450:4001:80e::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ] {
        assert_eq!(locate(ip(text)), None, "{text}");
    }
}

#[test]
fn special_addresses_lie_in_their_range() {
    use Space::{Metadata, Private, Reserved};
    for (text, space, name) in [
        ("127.0.0.1", Private, "loopback"),
        ("127.255.255.255", Private, "loopback"),
        ("10.0.0.0", Private, "private use"),
        ("10.255.255.255", Private, "private use"),
        ("172.16.0.0", Private, "private use"),
        ("172.31.255.255", Private, "private use"),
        ("192.168.1.1", Private, "private use"),
        ("100.64.0.1", Private, "carrier-grade NAT"),
        ("100.127.255.255", Private, "carrier-grade NAT"),
        ("169.254.0.1", Private, "link-local"),
        ("169.254.169.254", Metadata, "cloud metadata"),
        ("169.254.170.2", Metadata, "container credentials"),
        ("169.254.170.23", Metadata, "pod credentials"),
        ("168.63.129.16", Metadata, "cloud wire server"),
        ("100.100.100.200", Metadata, "cloud metadata"),
        ("192.0.0.192", Metadata, "cloud metadata"),
        ("fd00:ec2::254", Metadata, "cloud metadata"),
        ("fd00:ec2::23", Metadata, "pod credentials"),
        ("fd20:ce::254", Metadata, "cloud metadata"),
        ("0.0.0.0", Reserved, "this network"),
        ("0.1.2.3", Reserved, "this network"),
        ("192.0.0.8", Reserved, "protocol assignments"),
        ("192.0.2.1", Reserved, "documentation"),
        ("192.88.99.1", Reserved, "6to4 relays"),
        ("198.18.0.1", Reserved, "benchmarking"),
        ("198.19.255.255", Reserved, "benchmarking"),
        ("198.51.100.1", Reserved, "documentation"),
        ("203.0.113.1", Reserved, "documentation"),
        ("224.0.0.1", Reserved, "multicast"),
        ("239.255.255.255", Reserved, "multicast"),
        ("240.0.0.1", Reserved, "reserved"),
        ("255.255.255.255", Reserved, "reserved"),
        ("::1", Private, "loopback"),
        ("fc00::1", Private, "unique local"),
        ("fdff::1", Private, "unique local"),
        ("fe80::1", Private, "link-local"),
        ("febf::1", Private, "link-local"),
        ("::", Reserved, "unspecified"),
        ("::7f00:1", Reserved, "not global unicast"),
        ("::ffff:0:7f00:1", Reserved, "not global unicast"),
        ("fec0::1", Reserved, "not global unicast"),
        ("4000::1", Reserved, "not global unicast"),
        ("64:ff9b:1::1", Reserved, "local NAT64"),
        ("100::1", Reserved, "discard"),
        ("2001::1", Reserved, "Teredo"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Reserved, "Teredo"),
        ("2001:2::1", Reserved, "protocol assignments"),
        ("2001:db8::1", Reserved, "documentation"),
        ("2002:7f00:1::1", Reserved, "6to4"),
        ("2002:808:808::1", Reserved, "6to4"),
        ("3fff::1", Reserved, "documentation"),
        ("5f00::1", Reserved, "segment routing"),
        ("ff02::1", Reserved, "multicast"),
        ("::ffff:127.0.0.1", Private, "loopback"),
        ("::ffff:169.254.169.254", Metadata, "cloud metadata"),
        ("::ffff:0.0.0.0", Reserved, "this network"),
        ("64:ff9b::7f00:1", Private, "loopback"),
        ("64:ff9b::a9fe:a9fe", Metadata, "cloud metadata"),
    ] {
        let range = locate(ip(text)).unwrap_or_else(|| panic!("{text} is taken for public"));
        assert_eq!((range.space, range.name), (space, name), "{text}");
    }
}

#[test]
fn by_default_only_public_addresses_may_be_reached() {
    let rules = AddressRules::default();
    assert_eq!(rules.judge(ip("1.1.1.1")), Ok(Reach::Public));
    for text in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "224.0.0.1", "::1", "::ffff:10.0.0.1"] {
        assert!(matches!(rules.judge(ip(text)), Err(Refusal::Address(_))), "{text}");
    }
}

#[test]
fn all_opens_private_networks_but_neither_metadata_nor_reserved_ones() {
    let rules = nets("all");
    for text in ["127.0.0.1", "10.1.2.3", "100.64.0.1", "169.254.1.1", "fd12::1", "fe80::1", "::ffff:10.0.0.1"] {
        assert_eq!(rules.judge(ip(text)), Ok(Reach::Private), "{text}");
    }
    for text in ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "0.0.0.0", "224.0.0.1", "2002::1"] {
        assert!(rules.judge(ip(text)).is_err(), "{text}");
    }
}

#[test]
fn networks_open_what_they_contain() {
    let rules = nets("192.168.1.0/24, 127.0.0.1,198.18.0.0/15");
    for text in ["192.168.1.7", "127.0.0.1", "198.18.3.4", "::ffff:192.168.1.7", "64:ff9b::c0a8:107"] {
        assert_eq!(rules.judge(ip(text)), Ok(Reach::Private), "{text}");
    }
    for text in ["192.168.2.7", "127.0.0.2", "10.0.0.1", "::1"] {
        assert!(rules.judge(ip(text)).is_err(), "{text}");
    }
    assert_eq!(rules.judge(ip("1.1.1.1")), Ok(Reach::Public));
}

#[test]
fn only_its_exact_address_opens_a_metadata_service() {
    for (allowed, opened) in [
        ("169.254.169.254/32", true),
        ("169.254.169.254", true),
        ("169.254.0.0/16", false),
        ("169.254.169.254/31", false),
        ("0.0.0.0/0", false),
    ] {
        assert_eq!(nets(allowed).judge(ip("169.254.169.254")).is_ok(), opened, "{allowed}");
    }
    assert!(nets("fd00:ec2::254").judge(ip("fd00:ec2::254")).is_ok());
    assert!(nets("fd00::/8").judge(ip("fd00:ec2::254")).is_err());
}

#[test]
fn the_operators_own_ranges_are_closed_whatever_is_opened() {
    let deny = vec!["10.0.0.0/8".parse().expect("a network"), "1.1.1.0/24".parse().expect("a network")];
    let rules = AddressRules { allow: AllowPrivate::All, deny };
    for text in ["10.0.0.1", "1.1.1.1", "::ffff:10.0.0.1", "64:ff9b::101:101"] {
        assert_eq!(rules.judge(ip(text)), Err(Refusal::Denied), "{text}");
    }
    assert_eq!(rules.judge(ip("192.168.0.1")), Ok(Reach::Private));
}

#[test]
fn what_is_no_network_is_named_in_the_error() {
    let error = "10.0.0.0/8,lan".parse::<AllowPrivate>().expect_err("`lan` is no network");
    assert_eq!(error.part, "lan");
    assert_eq!("none".parse(), Ok(AllowPrivate::None));
    assert!("".parse::<AllowPrivate>().is_err());
    assert!("all,10.0.0.0/8".parse::<AllowPrivate>().is_err());
}

proptest! {
    #[test]
    fn an_ipv4_address_is_judged_alike_however_it_is_written(bits: u32) {
        let plain = Ipv4Addr::from(bits);
        let nat64 = Ipv6Addr::from((0x64_ff9b_u128 << 96) | u128::from(bits));
        let expected = locate(plain.into());
        prop_assert_eq!(locate(plain.to_ipv6_mapped().into()), expected);
        prop_assert_eq!(locate(nat64.into()), expected);
    }

    #[test]
    fn opening_networks_never_closes_a_public_address(bits: u128) {
        let address = IpAddr::V6(Ipv6Addr::from(bits));
        if locate(address).is_none() {
            for rules in ["none", "all", "10.0.0.0/8"] {
                prop_assert_eq!(nets(rules).judge(address), Ok(Reach::Public));
            }
        }
    }
}
