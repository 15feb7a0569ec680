DROP TABLE credentials;
DROP TABLE providers;
DROP TABLE api_keys;
DROP TABLE tenants;
