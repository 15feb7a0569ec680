//! The command line's client understands the gateway.

use secrecy::ExposeSecret as _;
use tidegate_client::{Client, ClientError, ItemQuery, JobQuery};

use crate::world::{JOB, PROVIDER, World};

fn client(world: &World, key: &str) -> Client {
    Client::new(format!("http://{}", world.address).parse().unwrap(), Some(key.to_owned().into())).unwrap()
}

#[tokio::test]
async fn a_job_is_submitted_watched_read_and_tried_again() {
    let world = World::start().await;
    let client = client(&world, &world.key);
    assert_eq!(client.put_provider("shop", PROVIDER).await.unwrap().version, 1);
    let submitted = client.submit(JOB, Some("one")).await.unwrap();
    assert!(!submitted.replayed && client.submit(JOB, Some("one")).await.unwrap().replayed);
    let job = submitted.id;
    let mut events = client.events(job, None).await.unwrap().unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().job.state, "submitted");
    let calls = world.begin(job, 2).await;
    world.succeed(&calls[0], "1\n2\n").await;
    world.fail(&calls[1], "no").await;
    let end = loop {
        let event = events.next().await.unwrap().unwrap();
        if event.job.is_final() {
            break event;
        }
    };
    assert_eq!((end.job.state.as_str(), end.job.counts.items), ("failed", 2));
    assert!(events.next().await.unwrap().is_none());
    assert!(client.events(job, events.last_id()).await.unwrap().is_none(), "its end was seen");
    let mut items = client.items(job, &ItemQuery { pages: Some(5), ..ItemQuery::default() }).await.unwrap();
    let next = items.next_cursor().unwrap().to_owned();
    assert_eq!((items.piece().await.unwrap().unwrap().as_ref(), items.piece().await.unwrap()), (&b"1\n2\n"[..], None));
    let query = ItemQuery { pages: Some(5), after: Some(next), ..ItemQuery::default() };
    assert_eq!(client.items(job, &query).await.unwrap().next_cursor(), None);
    let shown = client.job(job).await.unwrap();
    assert_eq!((shown.job.id, shown.failures[0].calls, shown.steps[0].items), (job, 1, 2));
    assert_eq!(client.retry_failed(job, &[("step", "other".to_owned())]).await.unwrap().calls, 0);
    assert_eq!(client.retry_failed(job, &[]).await.unwrap().calls, 1);
    assert_eq!(client.cancel(job).await.unwrap().id, job);
    let query = JobQuery { states: vec!["succeeded".into()], limit: Some(5), ..JobQuery::default() };
    assert!(client.jobs(&query).await.unwrap().jobs.is_empty());
    assert_eq!(client.jobs(&JobQuery::default()).await.unwrap().jobs[0].id, job);
}

#[tokio::test]
async fn resources_are_put_listed_and_deleted() {
    let world = World::start().await;
    let admin = client(&world, &world.key);
    admin.put_provider("shop", PROVIDER).await.unwrap();
    assert_eq!(admin.provider("shop").await.unwrap().file.unwrap()["provider"], "shop");
    assert_eq!(admin.providers().await.unwrap()[0].name, "shop");
    admin.delete_provider("shop").await.unwrap();
    let stored = admin.put_credential("alice", &r#"{"token": "x"}"#.to_owned().into()).await.unwrap();
    assert_eq!((stored.name.as_str(), stored.version), ("alice", 1));
    assert_eq!(admin.credentials().await.unwrap()[0].name, "alice");
    admin.delete_credential("alice").await.unwrap();
    let made = admin.make_key("reader", &["read"], None).await.unwrap();
    assert!(!format!("{made:?}").contains(made.key.expose_secret()));
    assert_eq!(admin.keys().await.unwrap().len(), 2);
    let reader = client(&world, made.key.expose_secret());
    assert!(reader.jobs(&JobQuery::default()).await.unwrap().jobs.is_empty());
    admin.revoke_key(&made.id).await.unwrap();
    let refused = reader.jobs(&JobQuery::default()).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(problem) if problem.code() == "unauthorized"), "{refused}");
    assert!(admin.ready().await.unwrap().ready);
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_told_line_by_line() {
    let world = World::start().await;
    let client = client(&world, &world.key);
    let refused = client.submit("provider: shop\nsteps: [{id: a, cal: b}]\n", None).await.unwrap_err();
    assert!(refused.to_string().contains("2:17: /steps/0/cal: "), "{refused}");
    drop(world);
    let nobody = Client::new("http://127.0.0.1:9".parse().unwrap(), None).unwrap();
    assert!(matches!(nobody.ready().await.unwrap_err(), ClientError::Reach(name, _) if name == "127.0.0.1:9"));
}
