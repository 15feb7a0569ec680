//! The registry over a pool of sqlx. Statements and rows are the same for each database; its types are not, and bounds
//! that say so generically would be longer than this.

/// The statement, with the row that is sealed as its first parameters: `$1` to `$6`.
macro_rules! with_seal {
    ($statement:expr, $row:expr) => {
        sqlx::query($statement)
            .bind(&$row.tenant)
            .bind(&$row.name)
            .bind($row.version)
            .bind(&$row.sealed_by)
            .bind(&$row.nonce)
            .bind(&$row.ciphertext)
    };
}

macro_rules! registry {
    ($registry:ty) => {
        #[async_trait::async_trait]
        impl $crate::Registry for $registry {
            async fn add_tenant(&self, tenant: &Tenant, now_ms: i64) -> Result<bool, RegistryError> {
                let query = sqlx::query(statement::ADD_TENANT).bind(tenant.as_str()).bind(now_ms);
                Ok(query.execute(&self.pool).await?.rows_affected() == 1)
            }

            async fn tenants(&self) -> Result<Vec<TenantRow>, RegistryError> {
                Ok(sqlx::query_as(statement::TENANTS).bind(LIST_MAX).fetch_all(&self.pool).await?)
            }

            async fn add_key(&self, key: &NewKey, now_ms: i64) -> Result<(), RegistryError> {
                let query = sqlx::query(statement::ADD_KEY)
                    .bind(&key.id)
                    .bind(key.tenant.as_str())
                    .bind(&key.name)
                    .bind(key.scopes.to_string())
                    .bind(&key.digest[..])
                    .bind(now_ms)
                    .bind(key.expires_at_ms)
                    .bind(KEYS_MAX);
                match query.execute(&self.pool).await?.rows_affected() {
                    0 => Err(RegistryError::TooMany { what: "API keys", max: KEYS_MAX }),
                    _ => Ok(()),
                }
            }

            async fn key(&self, id: &str) -> Result<Option<KeyRow>, RegistryError> {
                Ok(sqlx::query_as(statement::KEY).bind(id).fetch_optional(&self.pool).await?)
            }

            async fn keys(&self, tenant: &Tenant) -> Result<Vec<KeyRow>, RegistryError> {
                let query = sqlx::query_as(statement::KEYS).bind(tenant.as_str()).bind(LIST_MAX);
                Ok(query.fetch_all(&self.pool).await?)
            }

            async fn revoke_key(&self, tenant: &Tenant, id: &str, now_ms: i64) -> Result<bool, RegistryError> {
                let query = sqlx::query(statement::REVOKE_KEY).bind(tenant.as_str()).bind(id).bind(now_ms);
                Ok(query.execute(&self.pool).await?.rows_affected() == 1)
            }

            async fn key_used(&self, id: &str, now_ms: i64) -> Result<(), RegistryError> {
                sqlx::query(statement::KEY_USED).bind(id).bind(now_ms).execute(&self.pool).await?;
                Ok(())
            }

            async fn put_provider(
                &self,
                tenant: &Tenant,
                name: &Name,
                file: &str,
                now_ms: i64,
            ) -> Result<i64, RegistryError> {
                let query = sqlx::query_scalar(statement::PUT_PROVIDER)
                    .bind(tenant.as_str())
                    .bind(name.as_str())
                    .bind(file)
                    .bind(now_ms)
                    .bind(PROVIDERS_MAX);
                let version = query.fetch_optional(&self.pool).await?;
                version.ok_or(RegistryError::TooMany { what: "provider files", max: PROVIDERS_MAX })
            }

            async fn provider(&self, tenant: &Tenant, name: &Name) -> Result<Option<ProviderRow>, RegistryError> {
                let query = sqlx::query_as(statement::PROVIDER).bind(tenant.as_str()).bind(name.as_str());
                Ok(query.fetch_optional(&self.pool).await?)
            }

            async fn providers(&self, tenant: &Tenant) -> Result<Vec<ProviderInfo>, RegistryError> {
                let query = sqlx::query_as(statement::PROVIDERS).bind(tenant.as_str()).bind(LIST_MAX);
                Ok(query.fetch_all(&self.pool).await?)
            }

            async fn delete_provider(&self, tenant: &Tenant, name: &Name) -> Result<bool, RegistryError> {
                let query = sqlx::query(statement::DELETE_PROVIDER).bind(tenant.as_str()).bind(name.as_str());
                Ok(query.execute(&self.pool).await?.rows_affected() == 1)
            }

            async fn put_sealed(&self, sealed: &SealedRow, now_ms: i64) -> Result<bool, RegistryError> {
                let others = sqlx::query_scalar(statement::OTHER_CREDENTIALS).bind(&sealed.tenant).bind(&sealed.name);
                // Counted before, not within the statement: of many at once a few may come in above the bound.
                let others: i64 = others.fetch_one(&self.pool).await?;
                if others >= CREDENTIALS_MAX {
                    return Err(RegistryError::TooMany { what: "credentials", max: CREDENTIALS_MAX });
                }
                let query = $crate::rows::with_seal!(statement::PUT_SEALED, sealed).bind(now_ms);
                Ok(query.execute(&self.pool).await?.rows_affected() == 1)
            }

            async fn renew_sealed(&self, sealed: &SealedRow) -> Result<bool, RegistryError> {
                let query = $crate::rows::with_seal!(statement::RENEW_SEALED, sealed).bind(sealed.updated_at_ms);
                Ok(query.execute(&self.pool).await?.rows_affected() == 1)
            }

            async fn lease_refresh(
                &self,
                refresh: &Refresh<'_>,
                until_ms: i64,
                now_ms: i64,
            ) -> Result<Leased, RegistryError> {
                let Refresh { tenant, name, version, by } = *refresh;
                let query = sqlx::query_as(statement::LEASE_REFRESH).bind(tenant.as_str()).bind(name.as_str());
                let query = query.bind(version).bind(by).bind(until_ms).bind(now_ms);
                if let Some((tries, lost)) = query.fetch_optional(&self.pool).await? {
                    return Ok(Leased::Yes { tries, lost });
                }
                let query = sqlx::query_scalar(statement::REFRESH_UNTIL).bind(tenant.as_str()).bind(name.as_str());
                let until_ms: Option<i64> = query.bind(version).fetch_optional(&self.pool).await?;
                Ok(until_ms.map_or(Leased::Changed, Leased::NotBefore))
            }

            async fn postpone_refresh(
                &self,
                refresh: &Refresh<'_>,
                until_ms: i64,
                lost: bool,
            ) -> Result<(), RegistryError> {
                let Refresh { tenant, name, version, by } = *refresh;
                let query = sqlx::query(statement::POSTPONE_REFRESH).bind(tenant.as_str()).bind(name.as_str());
                query.bind(version).bind(by).bind(until_ms).bind(i64::from(lost)).execute(&self.pool).await?;
                Ok(())
            }

            async fn end_leases(&self) -> Result<(), RegistryError> {
                sqlx::query(statement::END_LEASES).execute(&self.pool).await?;
                Ok(())
            }

            async fn sealed(&self, tenant: &Tenant, name: &Name) -> Result<Option<SealedRow>, RegistryError> {
                let query = sqlx::query_as(statement::SEALED).bind(tenant.as_str()).bind(name.as_str());
                Ok(query.fetch_optional(&self.pool).await?)
            }

            async fn sealed_by_others(
                &self,
                sealed_by: &str,
                (tenant, name): (&str, &str),
                limit: i64,
            ) -> Result<Vec<SealedRow>, RegistryError> {
                let query = sqlx::query_as(statement::SEALED_BY_OTHERS);
                let query = query.bind(sealed_by).bind(tenant).bind(name).bind(limit);
                Ok(query.fetch_all(&self.pool).await?)
            }

            async fn replace_seal(&self, sealed: &SealedRow) -> Result<bool, RegistryError> {
                let query = $crate::rows::with_seal!(statement::REPLACE_SEAL, sealed);
                Ok(query.execute(&self.pool).await?.rows_affected() == 1)
            }

            async fn park_credential(
                &self,
                tenant: &Tenant,
                name: &Name,
                version: i64,
                parked: &str,
            ) -> Result<bool, RegistryError> {
                let query = sqlx::query(statement::PARK_CREDENTIAL);
                let query = query.bind(tenant.as_str()).bind(name.as_str()).bind(version).bind(parked);
                Ok(query.execute(&self.pool).await?.rows_affected() == 1)
            }

            async fn credentials(&self, tenant: &Tenant) -> Result<Vec<CredentialRow>, RegistryError> {
                let query = sqlx::query_as(statement::CREDENTIALS).bind(tenant.as_str()).bind(LIST_MAX);
                Ok(query.fetch_all(&self.pool).await?)
            }

            async fn delete_credential(&self, tenant: &Tenant, name: &Name) -> Result<bool, RegistryError> {
                let query = sqlx::query(statement::DELETE_CREDENTIAL).bind(tenant.as_str()).bind(name.as_str());
                Ok(query.execute(&self.pool).await?.rows_affected() == 1)
            }

            async fn ping(&self) -> Result<(), RegistryError> {
                sqlx::query(statement::PING).execute(&self.pool).await?;
                Ok(())
            }
        }
    };
}

pub(crate) use {registry, with_seal};
