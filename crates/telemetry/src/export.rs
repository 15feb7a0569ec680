//! Which signals the environment wants exported. Pure: the environment is an argument.

use anyhow::{Result, bail};

/// The signals to export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Export {
    pub(crate) traces: bool,
    pub(crate) metrics: bool,
}

/// Reads the variables of the OpenTelemetry specification ("OpenTelemetry Protocol Exporter" and "SDK
/// Environment Variables"). Departs from it in two ways. Without an endpoint nothing is exported, as most
/// laptops have no collector. A protocol or exporter we don't speak is an error, not a fallback: traces
/// that silently never arrive are found too late.
pub(crate) fn wanted(variable: impl Fn(&str) -> Option<String>) -> Result<Export> {
    if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
        return Ok(Export { traces: false, metrics: false });
    }
    Ok(Export { traces: wants("TRACES", &variable)?, metrics: wants("METRICS", &variable)? })
}

fn wants(signal: &str, variable: &impl Fn(&str) -> Option<String>) -> Result<bool> {
    let specific = |name: &str| format!("OTEL_EXPORTER_OTLP_{signal}_{name}");
    let general = |name: &str| format!("OTEL_EXPORTER_OTLP_{name}");
    let first = |name: &str| {
        [specific(name), general(name)].into_iter().find_map(|name| variable(&name).map(|value| (name, value)))
    };
    let exporter = format!("OTEL_{signal}_EXPORTER");
    match variable(&exporter).map(|value| value.trim().to_ascii_lowercase()).as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(false),
        Some(_) => bail!("{exporter}: expected otlp or none"),
    }
    if first("ENDPOINT").is_none() {
        return Ok(false);
    }
    if let Some((name, value)) = first("PROTOCOL")
        && !value.trim().eq_ignore_ascii_case("http/protobuf")
    {
        bail!("{name}: expected http/protobuf, the one protocol spoken here (a collector takes it at port 4318)");
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Export> {
        wanted(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn signals_are_exported_where_an_endpoint_says_so() {
        const ALL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        const TRACES: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:4318/v1/traces");
        const METRICS: (&str, &str) = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m:4318/v1/metrics");
        for (variables, traces, metrics) in [
            (vec![], false, false),
            (vec![ALL], true, true),
            (vec![TRACES], true, false),
            (vec![METRICS], false, true),
            (vec![ALL, ("OTEL_SDK_DISABLED", "TRUE")], false, false),
            (vec![ALL, ("OTEL_SDK_DISABLED", "no")], true, true),
            (vec![ALL, ("OTEL_TRACES_EXPORTER", "none")], false, true),
            (vec![ALL, ("OTEL_METRICS_EXPORTER", "otlp")], true, true),
            (vec![ALL, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")], true, true),
            (vec![("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], false, false),
        ] {
            assert_eq!(read(&variables).expect("readable"), Export { traces, metrics }, "{variables:?}");
        }
    }

    #[test]
    fn what_cannot_be_spoken_is_refused_and_the_variable_is_named() {
        const ALL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        for (variable, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
        ] {
            let error = read(&[ALL, (variable, value)]).expect_err("refused").to_string();
            assert!(error.contains(variable) && !error.contains(value), "{error}");
        }
    }
}
