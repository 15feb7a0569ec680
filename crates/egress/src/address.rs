//! Which addresses a call may reach: a table of the special ranges and the operator's rules over it.
//!
//! The table is the union of what Smokescreen and Svix refuse, and of the cloud metadata services. An address that is
//! in no range is public; IPv6 outside the one block that is given out for global unicast (RFC 4291) never is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::error::Refusal;

/// What a range of addresses is for, as far as outgoing calls care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Networks of one's own: loopback, private use, carrier-grade NAT, link-local. [`AllowPrivate::All`] opens them.
    Private,
    /// A cloud's metadata service, which hands out credentials to whoever asks. Only its exact address opens it.
    Metadata,
    /// No place for an API: multicast, documentation, retired tunnels. Only a network that contains it opens it.
    Reserved,
}

/// One special range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The addresses.
    pub net: IpNet,
    /// What they are for.
    pub space: Space,
    /// Their name, for people.
    pub name: &'static str,
}

/// Whether an address that may be reached lies in public or in the operator's own networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// A public address.
    Public,
    /// A special address that the operator opened.
    Private,
}

/// Which special addresses the operator opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AllowPrivate {
    /// None: only public addresses may be called.
    #[default]
    None,
    /// Everything in [`Space::Private`]; neither metadata services nor reserved ranges.
    All,
    /// What these networks contain. A metadata service is opened only by a network of its one address.
    Nets(Vec<IpNet>),
}

/// A text that is not an [`AllowPrivate`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` is neither a network such as `10.0.0.0/8`, nor an address, nor `all` or `none` standing alone")]
pub struct AllowPrivateParseError {
    /// The part that was not understood.
    pub part: String,
}

/// The operator's rules for addresses.
#[derive(Debug, Clone, Default)]
pub struct AddressRules {
    /// What is open beyond public addresses.
    pub allow: AllowPrivate,
    /// What is closed whatever else is said: the operator's own services, for example.
    pub deny: Vec<IpNet>,
}

impl AddressRules {
    /// Judges one address.
    ///
    /// # Errors
    /// The [`Refusal`] names the range and what would open it.
    pub fn judge(&self, address: IpAddr) -> Result<Reach, Refusal> {
        let canonical = canonical(address);
        let inside = |net: &IpNet| net.contains(&address) || net.contains(&canonical);
        if self.deny.iter().any(inside) {
            return Err(Refusal::Denied);
        }
        let Some(range) = locate(address) else { return Ok(Reach::Public) };
        let opened = match (&self.allow, range.space) {
            (AllowPrivate::None, _) => false,
            (AllowPrivate::All, space) => space == Space::Private,
            (AllowPrivate::Nets(nets), Space::Metadata) => {
                nets.iter().any(|net| inside(net) && net.prefix_len() == net.max_prefix_len())
            }
            (AllowPrivate::Nets(nets), _) => nets.iter().any(inside),
        };
        if opened { Ok(Reach::Private) } else { Err(Refusal::Address(range)) }
    }
}

/// The special range an address lies in, or `None` for a public address.
///
/// An IPv4 address written inside an IPv6 one (mapped, RFC 4291; NAT64, RFC 6052) is judged as the IPv4 address it
/// reaches.
pub fn locate(address: IpAddr) -> Option<Range> {
    let address = canonical(address);
    if let Some(range) = RANGES.iter().find(|range| range.net.contains(&address)) {
        return Some(*range);
    }
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) if GLOBAL_UNICAST.contains(&v6) => None,
        IpAddr::V6(_) => Some(UNASSIGNED),
    }
}

/// The address that packets to `address` end up at.
fn canonical(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if NAT64.contains(&v6) => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        other => other,
    }
}

impl FromStr for AllowPrivate {
    type Err = AllowPrivateParseError;

    /// Reads `none`, `all`, or networks and addresses parted by commas: `10.0.0.0/8,127.0.0.1`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "none" => Ok(Self::None),
            "all" => Ok(Self::All),
            list => list.split(',').map(|part| parse_net(part.trim())).collect::<Result<_, _>>().map(Self::Nets),
        }
    }
}

fn parse_net(part: &str) -> Result<IpNet, AllowPrivateParseError> {
    part.parse::<IpNet>()
        .or_else(|_| part.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| AllowPrivateParseError { part: part.to_owned() })
}

const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
const GLOBAL_UNICAST: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const UNASSIGNED: Range = v6([0; 8], 0, Space::Reserved, "not global unicast");

/// The special ranges; the first that contains an address counts, so single addresses stand first.
///
/// Metadata addresses are those of the clouds' own documents: AWS instance metadata, ECS task and EKS pod credentials,
/// Azure's wire server, Alibaba, Oracle, Google. The rest is IANA's special-purpose registries (RFC 6890 and heirs).
const RANGES: [Range; 37] = [
    v4([169, 254, 169, 254], 32, Space::Metadata, "cloud metadata"),
    v4([169, 254, 170, 2], 32, Space::Metadata, "container credentials"),
    v4([169, 254, 170, 23], 32, Space::Metadata, "pod credentials"),
    v4([168, 63, 129, 16], 32, Space::Metadata, "cloud wire server"),
    v4([100, 100, 100, 200], 32, Space::Metadata, "cloud metadata"),
    v4([192, 0, 0, 192], 32, Space::Metadata, "cloud metadata"),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, Space::Metadata, "cloud metadata"),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128, Space::Metadata, "pod credentials"),
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, Space::Metadata, "cloud metadata"),
    v4([10, 0, 0, 0], 8, Space::Private, "private use"),
    v4([100, 64, 0, 0], 10, Space::Private, "carrier-grade NAT"),
    v4([127, 0, 0, 0], 8, Space::Private, "loopback"),
    v4([169, 254, 0, 0], 16, Space::Private, "link-local"),
    v4([172, 16, 0, 0], 12, Space::Private, "private use"),
    v4([192, 168, 0, 0], 16, Space::Private, "private use"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, Space::Private, "loopback"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Space::Private, "unique local"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Space::Private, "link-local"),
    v4([0, 0, 0, 0], 8, Space::Reserved, "this network"),
    v4([192, 0, 0, 0], 24, Space::Reserved, "protocol assignments"),
    v4([192, 0, 2, 0], 24, Space::Reserved, "documentation"),
    v4([192, 88, 99, 0], 24, Space::Reserved, "6to4 relays"),
    v4([198, 18, 0, 0], 15, Space::Reserved, "benchmarking"),
    v4([198, 51, 100, 0], 24, Space::Reserved, "documentation"),
    v4([203, 0, 113, 0], 24, Space::Reserved, "documentation"),
    v4([224, 0, 0, 0], 4, Space::Reserved, "multicast"),
    v4([240, 0, 0, 0], 4, Space::Reserved, "reserved"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, Space::Reserved, "unspecified"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Space::Reserved, "local NAT64"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, Space::Reserved, "discard"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Space::Reserved, "Teredo"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Space::Reserved, "protocol assignments"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Space::Reserved, "documentation"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Space::Reserved, "6to4"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Space::Reserved, "documentation"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, Space::Reserved, "segment routing"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Space::Reserved, "multicast"),
];

const fn v4(octets: [u8; 4], prefix: u8, space: Space, name: &'static str) -> Range {
    let [a, b, c, d] = octets;
    Range { net: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)), space, name }
}

const fn v6(groups: [u16; 8], prefix: u8, space: Space, name: &'static str) -> Range {
    let [a, b, c, d, e, f, g, h] = groups;
    Range { net: IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)), space, name }
}

#[cfg(test)]
mod tests;
