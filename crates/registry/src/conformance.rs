//! What every registry must do. Each check takes a registry with nothing in it.
#![expect(missing_docs, reason = "each name says what it checks")]

use std::sync::Arc;

use futures_util::future::join_all;
use secrecy::{ExposeSecret as _, SecretString};
use tidegate_provider::Credential;
use tidegate_provider::file::Name;

use crate::{
    KEYS_MAX, Keys, Leased, NewKey, Refresh, Refusal, Registry, RegistryError, Scope, Scopes, SealedRow, SealingError,
    SealingKeys, TRUSTED_MS, Tenant, Vault, VaultError, VerifyError,
};

/// Calls the macro `$run` with the name of each check.
#[macro_export]
macro_rules! conformance_checks {
    ($run:ident) => {
        $run! {
            tenants_are_made_once
            a_key_is_known_by_its_secret_until_it_is_revoked_or_expires
            keys_are_remembered_for_a_while
            keys_belong_to_their_tenant_and_are_bounded
            provider_files_have_versions
            provider_files_belong_to_their_tenant
            credentials_are_sealed_and_belong_to_their_tenant
            a_seal_moved_to_another_row_does_not_open
            changes_of_a_credential_at_once_all_count
            credentials_are_sealed_anew_by_the_first_key
            one_at_a_time_refreshes_a_credential
            a_refresh_replaces_the_version_it_began_from_alone
            what_belongs_to_no_tenant_is_refused
        }
    };
}

type Shared = Arc<dyn Registry>;

fn tenant(name: &str) -> Tenant {
    name.parse().expect("a tenant's name")
}

fn name(name: &str) -> Name {
    name.to_owned().try_into().expect("a name")
}

async fn two_tenants(registry: &Shared) -> (Tenant, Tenant) {
    let (a, b) = (tenant("a"), tenant("b"));
    for tenant in [&a, &b] {
        assert!(registry.add_tenant(tenant, 1).await.expect("added"));
    }
    (a, b)
}

fn scopes(scopes: &[Scope]) -> Scopes {
    Scopes::new(scopes.iter().copied()).expect("some")
}

async fn key(registry: &Shared, tenant: &Tenant, expires_at_ms: Option<i64>) -> (String, SecretString) {
    let (key, text) = NewKey::generate(tenant.clone(), "test", scopes(&[Scope::Read]), expires_at_ms);
    registry.add_key(&key, 100).await.expect("added");
    (key.id, text)
}

async fn refusal(keys: &Keys, text: &str, now_ms: i64) -> Refusal {
    match keys.verify(text, now_ms).await {
        Err(VerifyError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

fn vault(registry: &Shared, keys: &str) -> Vault {
    Vault::new(Arc::clone(registry), Arc::new(SealingKeys::parse(keys).expect("keys")))
}

fn credential(secret: &str) -> Credential {
    Credential::from_text("x", secret).expect("a credential")
}

pub async fn tenants_are_made_once(registry: Shared) {
    assert!(registry.add_tenant(&tenant("b"), 7).await.expect("added"));
    assert!(registry.add_tenant(&tenant("a"), 8).await.expect("added"));
    assert!(!registry.add_tenant(&tenant("b"), 9).await.expect("there"));
    let found: Vec<_> =
        registry.tenants().await.expect("tenants").into_iter().map(|t| (t.name, t.created_at_ms)).collect();
    assert_eq!(found, [("a".to_owned(), 8), ("b".to_owned(), 7)]);
    registry.ping().await.expect("answers");
}

pub async fn a_key_is_known_by_its_secret_until_it_is_revoked_or_expires(registry: Shared) {
    let (a, b) = two_tenants(&registry).await;
    let keys = Keys::new(Arc::clone(&registry));
    let (id, text) = key(&registry, &a, Some(5_000)).await;
    let text = text.expose_secret();
    let row = keys.verify(text, 4_999).await.expect("known");
    assert_eq!(
        (&row.id, &row.tenant, row.scopes.allow(Scope::Read), row.scopes.allow(Scope::Submit)),
        (&id, &a, true, false)
    );
    assert_eq!(registry.key(&id).await.expect("read").expect("there").last_used_at_ms, Some(4_999));
    assert_eq!(refusal(&keys, text, 5_000).await, Refusal::Expired);
    // The id of one key with the secret of another.
    let (_, other) = key(&registry, &b, None).await;
    let forged = format!(
        "{}_{}",
        text.rsplitn(3, '_').last().expect("id"),
        other.expose_secret().split('_').nth(2).expect("secret")
    );
    assert_eq!(refusal(&keys, &forged, 200).await, Refusal::Malformed, "the check sum is of another text");
    let stranger = crate::ApiKey::generate().text();
    assert_eq!(refusal(&keys, stranger.expose_secret(), 200).await, Refusal::Unknown);
    assert!(registry.revoke_key(&a, &id, 300).await.expect("revoked"));
    assert!(registry.revoke_key(&a, &id, 400).await.expect("revoked before"));
    assert_eq!(registry.key(&id).await.expect("read").expect("there").revoked_at_ms, Some(300));
    let fresh = Keys::new(Arc::clone(&registry));
    assert_eq!(refusal(&fresh, text, 400).await, Refusal::Revoked);
}

pub async fn keys_are_remembered_for_a_while(registry: Shared) {
    let (a, _) = two_tenants(&registry).await;
    let keys = Keys::new(Arc::clone(&registry));
    let (id, text) = key(&registry, &a, None).await;
    keys.verify(text.expose_secret(), 1_000).await.expect("known");
    registry.revoke_key(&a, &id, 1_500).await.expect("revoked");
    keys.verify(text.expose_secret(), 999 + TRUSTED_MS).await.expect("still believed");
    assert_eq!(refusal(&keys, text.expose_secret(), 1_000 + TRUSTED_MS).await, Refusal::Revoked);
    let (id, text) = key(&registry, &a, None).await;
    keys.verify(text.expose_secret(), 1_000).await.expect("known");
    registry.revoke_key(&a, &id, 1_500).await.expect("revoked");
    keys.forget(&id);
    assert_eq!(refusal(&keys, text.expose_secret(), 1_500).await, Refusal::Revoked);
}

pub async fn keys_belong_to_their_tenant_and_are_bounded(registry: Shared) {
    let (a, b) = two_tenants(&registry).await;
    let (id, _) = key(&registry, &a, None).await;
    assert!(!registry.revoke_key(&b, &id, 1).await.expect("asked"));
    assert!(registry.keys(&b).await.expect("keys").is_empty());
    for _ in 1..KEYS_MAX {
        key(&registry, &a, None).await;
    }
    let (one_more, _) = NewKey::generate(a.clone(), "", scopes(&[Scope::Admin]), None);
    assert!(matches!(registry.add_key(&one_more, 1).await, Err(RegistryError::TooMany { max: KEYS_MAX, .. })));
    // A revoked one makes room.
    assert!(registry.revoke_key(&a, &id, 1).await.expect("revoked"));
    registry.add_key(&one_more, 1_000).await.expect("added");
    let all = registry.keys(&a).await.expect("keys");
    assert_eq!((all.len(), &all[0].id), (1_001, &one_more.id), "newest first");
    key(&registry, &b, None).await;
}

pub async fn provider_files_have_versions(registry: Shared) {
    let (a, _) = two_tenants(&registry).await;
    let (shop, file, changed) = (name("shop"), r#"{"provider":"shop"}"#, r#"{"provider": "shop"}"#);
    assert_eq!(registry.put_provider(&a, &shop, file, 10).await.expect("stored"), 1);
    assert_eq!(registry.put_provider(&a, &shop, file, 20).await.expect("stored"), 1, "the same is no change");
    let row = registry.provider(&a, &shop).await.expect("read").expect("there");
    assert_eq!((row.file.as_str(), row.version, row.created_at_ms, row.updated_at_ms), (file, 1, 10, 10));
    assert_eq!(registry.put_provider(&a, &shop, changed, 30).await.expect("stored"), 2);
    let row = registry.provider(&a, &shop).await.expect("read").expect("there");
    assert_eq!((row.file.as_str(), row.created_at_ms, row.updated_at_ms), (changed, 10, 30));
    registry.put_provider(&a, &name("bank"), file, 40).await.expect("stored");
    let all: Vec<_> = registry.providers(&a).await.expect("listed").into_iter().map(|p| (p.name, p.version)).collect();
    assert_eq!(all, [("bank".to_owned(), 1), ("shop".to_owned(), 2)]);
    assert!(registry.delete_provider(&a, &shop).await.expect("deleted"));
    assert!(!registry.delete_provider(&a, &shop).await.expect("gone"));
    assert_eq!(registry.provider(&a, &shop).await.expect("read"), None);
}

pub async fn provider_files_belong_to_their_tenant(registry: Shared) {
    let (a, b) = two_tenants(&registry).await;
    let shop = name("shop");
    registry.put_provider(&a, &shop, "{}", 1).await.expect("stored");
    assert_eq!(registry.provider(&b, &shop).await.expect("read"), None);
    assert!(registry.providers(&b).await.expect("listed").is_empty());
    assert!(!registry.delete_provider(&b, &shop).await.expect("asked"));
    registry.put_provider(&b, &shop, r#"{"b":1}"#, 2).await.expect("stored");
    assert_eq!(registry.provider(&a, &shop).await.expect("read").expect("there").file, "{}");
}

pub async fn credentials_are_sealed_and_belong_to_their_tenant(registry: Shared) {
    let (a, b) = two_tenants(&registry).await;
    let alice = name("alice");
    let vault = vault(&registry, &SealingKeys::generate("k1"));
    let secret = "canary-s3cret-token";
    assert_eq!(vault.put(&a, &alice, &credential(secret), 10).await.expect("stored"), 1);
    let row = registry.sealed(&a, &alice).await.expect("read").expect("there");
    assert!(!row.ciphertext.windows(6).any(|part| secret.as_bytes().windows(6).any(|known| known == part)));
    let opened = vault.open(&a, &alice).await.expect("opens").expect("there");
    assert_eq!(opened.credential.field("token").expect("token").expose_secret(), secret);
    assert_eq!((opened.credential.name(), opened.version, opened.updated_at_ms), ("alice", 1, 10));
    assert_eq!(vault.put(&a, &alice, &credential(r#"{"user":"u","password":"p"}"#), 20).await.expect("stored"), 2);
    let opened = vault.open(&a, &alice).await.expect("opens").expect("there");
    assert_eq!(opened.credential.field("password").expect("password").expose_secret(), "p");
    assert!(opened.credential.field("token").is_none());
    let listed = registry.credentials(&a).await.expect("listed");
    assert_eq!((listed.len(), listed[0].version, listed[0].created_at_ms, listed[0].updated_at_ms), (1, 2, 10, 20));
    assert!(vault.open(&b, &alice).await.expect("asked").is_none());
    assert!(registry.credentials(&b).await.expect("listed").is_empty());
    assert!(!registry.delete_credential(&b, &alice).await.expect("asked"));
    assert!(registry.delete_credential(&a, &alice).await.expect("deleted"));
    assert!(vault.open(&a, &alice).await.expect("asked").is_none());
    let large = credential(&"x".repeat(crate::CREDENTIAL_MAX_BYTES));
    assert!(matches!(vault.put(&a, &alice, &large, 1).await, Err(VaultError::TooLarge)));
}

pub async fn a_seal_moved_to_another_row_does_not_open(registry: Shared) {
    let (a, b) = two_tenants(&registry).await;
    let alice = name("alice");
    let vault = vault(&registry, &SealingKeys::generate("k1"));
    vault.put(&a, &alice, &credential("secret"), 1).await.expect("stored");
    let row = registry.sealed(&a, &alice).await.expect("read").expect("there");
    let moved = [
        (SealedRow { tenant: "b".into(), ..row.clone() }, &b, alice.clone()),
        (SealedRow { name: "bob".into(), ..row.clone() }, &a, name("bob")),
        (SealedRow { version: 2, ..row }, &a, alice),
    ];
    for (row, tenant, name) in moved {
        assert!(registry.put_sealed(&row, 2).await.expect("stored"));
        let error = vault.open(tenant, &name).await.expect_err("it was moved");
        assert!(matches!(error, VaultError::Sealing { source: SealingError::Broken, .. }), "{error}");
    }
}

pub async fn changes_of_a_credential_at_once_all_count(registry: Shared) {
    let (a, _) = two_tenants(&registry).await;
    let vault = vault(&registry, &SealingKeys::generate("k1"));
    let (alice, secret) = (name("alice"), credential("secret"));
    let put = || vault.put(&a, &alice, &secret, 1);
    let mut versions: Vec<_> = join_all([put(), put(), put()]).await.into_iter().map(|v| v.expect("stored")).collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3]);
    let row = registry.sealed(&a, &alice).await.expect("read").expect("there");
    assert!(!registry.put_sealed(&row, 1).await.expect("asked"), "the version that is there is not the one before");
    assert!(vault.open(&a, &alice).await.expect("opens").is_some());
}

pub async fn credentials_are_sealed_anew_by_the_first_key(registry: Shared) {
    let (a, b) = two_tenants(&registry).await;
    let (old, new) = (SealingKeys::generate("old"), SealingKeys::generate("new"));
    let before = vault(&registry, &old);
    for number in 0..150 {
        let tenant = if number % 2 == 0 { &a } else { &b };
        before
            .put(tenant, &name(&format!("c{number}")), &credential(&format!("secret{number}")), 5)
            .await
            .expect("stored");
    }
    let both = vault(&registry, &format!("{},{}", new.as_str(), old.as_str()));
    both.put(&a, &name("later"), &credential("later"), 6).await.expect("stored");
    assert_eq!(both.reseal().await.expect("resealed"), 150);
    assert_eq!(both.reseal().await.expect("resealed"), 0);
    let after = vault(&registry, &new);
    let opened = after.open(&b, &name("c149")).await.expect("opens").expect("there");
    assert_eq!(opened.credential.field("token").expect("token").expose_secret(), "secret149");
    assert_eq!((opened.version, opened.updated_at_ms), (1, 5), "a new seal is no change");
    let lost = before.open(&b, &name("c149")).await.expect_err("the old key is of no use any more");
    assert!(matches!(lost, VaultError::Sealing { source: SealingError::Unknown(id), .. } if id == "new"));
}

pub async fn one_at_a_time_refreshes_a_credential(registry: Shared) {
    let (a, b) = two_tenants(&registry).await;
    let vault = vault(&registry, &SealingKeys::generate("k1"));
    let (alice, secret) = (name("alice"), credential("secret"));
    for tenant in [&a, &b] {
        vault.put(tenant, &alice, &secret, 1).await.expect("stored");
    }
    let of = |version, by| Refresh { tenant: &a, name: &alice, version, by };
    let asked = join_all(["1", "2", "3", "4"].map(|by| {
        let vault = &vault;
        async move { vault.lease(&of(1, by), 100, 10).await.expect("asked") }
    }))
    .await;
    let (held, others): (Vec<_>, Vec<_>) = asked.into_iter().partition(|leased| matches!(leased, Leased::Yes { .. }));
    assert_eq!(held, [Leased::Yes { tries: 1, lost: 0 }]);
    assert_eq!(others, [Leased::NotBefore(100); 3]);
    let other = Refresh { tenant: &b, ..of(1, "1") };
    assert_eq!(vault.lease(&other, 100, 10).await.expect("asked"), Leased::Yes { tries: 1, lost: 0 });

    // Who dies with it has lost what came of it.
    assert_eq!(vault.lease(&of(1, "5"), 200, 99).await.expect("asked"), Leased::NotBefore(100));
    assert_eq!(vault.lease(&of(1, "5"), 200, 100).await.expect("asked"), Leased::Yes { tries: 2, lost: 1 });
    vault.postpone(&of(1, "4"), 900, true).await.expect("it is not its own any more");
    vault.postpone(&of(1, "5"), 150, false).await.expect("given back");
    assert_eq!(vault.lease(&of(1, "6"), 300, 149).await.expect("asked"), Leased::NotBefore(150));
    assert_eq!(vault.lease(&of(1, "6"), 300, 150).await.expect("asked"), Leased::Yes { tries: 3, lost: 1 });
    vault.postpone(&of(1, "6"), 160, true).await.expect("given back");
    assert_eq!(vault.lease(&of(1, "7"), 300, 160).await.expect("asked"), Leased::Yes { tries: 4, lost: 2 });

    registry.end_leases().await.expect("ended");
    assert_eq!(vault.lease(&of(1, "8"), 300, 161).await.expect("asked"), Leased::Yes { tries: 5, lost: 3 });

    // Whatever is stored anew is refreshed anew.
    assert_eq!(vault.put(&a, &alice, &secret, 2).await.expect("stored"), 2);
    assert_eq!(vault.lease(&of(1, "7"), 400, 170).await.expect("asked"), Leased::Changed);
    assert_eq!(vault.lease(&of(2, "7"), 400, 170).await.expect("asked"), Leased::Yes { tries: 1, lost: 0 });
    assert!(registry.park_credential(&a, &alice, 2, "{}").await.expect("parked"));
    assert_eq!(vault.lease(&of(2, "8"), 900, 800).await.expect("asked"), Leased::Changed);
}

pub async fn a_refresh_replaces_the_version_it_began_from_alone(registry: Shared) {
    let (a, _) = two_tenants(&registry).await;
    let vault = vault(&registry, &SealingKeys::generate("k1"));
    let (alice, renewed) = (name("alice"), credential("renewed"));
    let at = (&a, &alice);
    vault.put(&a, &alice, &credential("given"), 1).await.expect("stored");
    let refresh = Refresh { tenant: &a, name: &alice, version: 1, by: "1" };
    vault.lease(&refresh, 100, 10).await.expect("asked");
    assert!(vault.renew(at, 1, &renewed, 20).await.expect("renewed"));
    assert!(!vault.renew(at, 1, &credential("late"), 21).await.expect("asked"), "another one was first");
    let opened = vault.open(&a, &alice).await.expect("opens").expect("there");
    assert_eq!(opened.credential.field("token").expect("token").expose_secret(), "renewed");
    assert_eq!((opened.version, opened.updated_at_ms), (2, 20));
    let again = Refresh { version: 2, ..refresh };
    assert_eq!(vault.lease(&again, 100, 21).await.expect("asked"), Leased::Yes { tries: 1, lost: 0 });
    vault.put(&a, &alice, &credential("by its owner"), 30).await.expect("stored");
    assert!(!vault.renew(at, 2, &renewed, 31).await.expect("asked"), "its owner knows better");
    assert!(registry.delete_credential(&a, &alice).await.expect("deleted"));
    assert!(!vault.renew(at, 3, &renewed, 32).await.expect("asked"));
    assert!(vault.open(&a, &alice).await.expect("asked").is_none(), "what is deleted stays so");
}

pub async fn what_belongs_to_no_tenant_is_refused(registry: Shared) {
    let nobody = tenant("nobody");
    let (key, _) = NewKey::generate(nobody.clone(), "", scopes(&[Scope::Admin]), None);
    assert!(matches!(registry.add_key(&key, 1).await, Err(RegistryError::NoTenant)));
    let stored = registry.put_provider(&nobody, &name("shop"), "{}", 1).await;
    assert!(matches!(stored, Err(RegistryError::NoTenant)));
    let vault = vault(&registry, &SealingKeys::generate("k1"));
    let stored = vault.put(&nobody, &name("alice"), &credential("secret"), 1).await;
    assert!(matches!(stored, Err(VaultError::Registry(RegistryError::NoTenant))));
}
