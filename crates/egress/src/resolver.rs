//! Resolves names, and gives out addresses only if all of them may be called.
//!
//! The connection is made to the addresses given out here, without a second look-up, so a name that changes its mind
//! between check and connection (DNS rebinding) gains nothing.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use crate::address::{AddressRules, Reach};
use crate::error::Refusal;

/// Most look-ups at once. Each holds a thread until the system's resolver gives up, so a dead name server must not take
/// all of them.
pub(crate) const MAX_LOOKUPS: usize = 128;

/// Most addresses tried for one name; all are checked.
const MAX_ADDRESSES: usize = 16;

/// Finds a name's addresses.
pub(crate) type Lookup = fn(Name) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// A resolver behind the operator's rules.
#[derive(Debug, Clone)]
pub(crate) struct GuardedResolver {
    pub(crate) lookup: Lookup,
    pub(crate) rules: Arc<AddressRules>,
    /// Whether public addresses are refused: names that are called over plain http without leave.
    pub(crate) private_only: bool,
    pub(crate) lookups: Arc<Semaphore>,
}

impl GuardedResolver {
    /// Whether a name may be called, for those who have it looked up elsewhere.
    pub(crate) async fn judge(&self, name: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut found = self.resolve(name.parse()?).await?;
        found.next().map(|_| ()).ok_or_else(|| "it has no address".into())
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, lookups) = (self.rules.clone(), self.lookups.clone());
        let (lookup, private_only) = (self.lookup, self.private_only);
        Box::pin(async move {
            let permit = lookups.acquire_owned().await?;
            // A caller may give up, but the look-up's thread cannot: the permit stays with it, in a task of its own.
            let found = tokio::spawn(async move {
                let found = lookup(name).await;
                drop(permit);
                found
            });
            let admitted = admit(found.await??, &rules, private_only)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

/// The system's resolver.
pub(crate) fn system_lookup(name: Name) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
    Box::pin(async move { Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect()) })
}

/// Lets a name's addresses pass if every one of them may be called; a mixed answer is no accident.
fn admit(addresses: Vec<SocketAddr>, rules: &AddressRules, private_only: bool) -> Result<Vec<SocketAddr>, Refusal> {
    let mut admitted = Vec::with_capacity(addresses.len().min(MAX_ADDRESSES));
    for address in addresses {
        if rules.judge(address.ip())? == Reach::Public && private_only {
            return Err(Refusal::PlainHttp);
        }
        if admitted.len() < MAX_ADDRESSES {
            admitted.push(canonical(address));
        }
    }
    Ok(admitted)
}

/// An IPv4-mapped address as the IPv4 address it is; others keep their scope.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => SocketAddr::from((v4, address.port())),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AllowPrivate;

    fn resolved(addresses: &[&str], allow: AllowPrivate, private_only: bool) -> Result<Vec<String>, Refusal> {
        let addresses = addresses.iter().map(|text| SocketAddr::new(text.parse().expect(text), 0)).collect();
        let admitted = admit(addresses, &AddressRules { allow, deny: Vec::new() }, private_only)?;
        Ok(admitted.iter().map(|address| address.ip().to_string()).collect())
    }

    #[test]
    fn one_bad_address_spoils_the_answer() {
        assert!(resolved(&["1.1.1.1", "2606:4700:4700::1111"], AllowPrivate::None, false).is_ok());
        for bad in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"] {
            assert!(resolved(&["1.1.1.1", bad], AllowPrivate::None, false).is_err(), "{bad} last");
            assert!(resolved(&[bad, "1.1.1.1"], AllowPrivate::None, false).is_err(), "{bad} first");
        }
        assert!(resolved(&["10.0.0.1", "169.254.169.254"], AllowPrivate::All, false).is_err());
    }

    #[test]
    fn a_bad_address_is_found_beyond_those_that_are_tried() {
        let mut addresses = vec!["1.1.1.1"; MAX_ADDRESSES + 5];
        assert_eq!(resolved(&addresses, AllowPrivate::None, false).map(|a| a.len()), Ok(MAX_ADDRESSES));
        addresses.push("10.0.0.1");
        assert!(resolved(&addresses, AllowPrivate::None, false).is_err());
    }

    #[test]
    fn plain_http_without_leave_gets_private_addresses_only() {
        assert!(resolved(&["10.0.0.1"], AllowPrivate::All, true).is_ok());
        assert_eq!(resolved(&["1.1.1.1"], AllowPrivate::All, true), Err(Refusal::PlainHttp));
        assert_eq!(resolved(&["10.0.0.1", "1.1.1.1"], AllowPrivate::All, true), Err(Refusal::PlainHttp));
    }

    #[test]
    fn a_mapped_address_is_connected_to_as_what_it_is() {
        assert_eq!(resolved(&["::ffff:1.1.1.1"], AllowPrivate::None, false), Ok(vec!["1.1.1.1".to_owned()]));
    }
}
