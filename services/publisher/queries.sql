-- The SQL of the publisher; `queries/` has a typed function for each statement.
-- `subscription.address` with `wrapped_key`, `contact.address` with `wrapped_key` and `contact.webhook` with
-- `webhook_key` are each one `Sealed` in the code; `delivery.error` is the reason of a result.

-- name: insert_publication
-- The head of a new publication.
INSERT INTO publication (id, state, version, changed_at) VALUES ($1, $2, $3, $4);

-- name: insert_version
-- A version as its editor wrote it.
INSERT INTO publication_version
    (publication, version, title, summary, body, topics, document_number, effective_from, editor, drafted_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: publication_head
-- What the rules look at; the caller holds the aggregate's lock.
SELECT p.state, p.version, p.public_version, v.editor, v.topics
FROM publication p JOIN publication_version v ON v.publication = p.id AND v.version = p.version
WHERE p.id = $1;

-- name: move_publication
-- State and newest version after an act.
UPDATE publication SET state = $2, version = $3, changed_at = $4 WHERE id = $1;

-- name: approve_version
-- The second person, beside the editor.
UPDATE publication_version SET approver = $3, approved_at = $4 WHERE publication = $1 AND version = $2;

-- name: publish_version
-- A correction keeps the time of the first publication.
UPDATE publication
SET public_version = $2, published_at = coalesce(published_at, $3), public_changed_at = $3
WHERE id = $1;

-- name: swap_public_version
-- The version that becomes public, and the one that it replaces; $2 null: none becomes public, it is withdrawn.
UPDATE publication_version
SET published_at = CASE version WHEN $2 THEN $3 ELSE published_at END,
    retired_at = CASE version WHEN $2 THEN NULL ELSE $3 END
WHERE publication = $1 AND (version = $2 OR (published_at IS NOT NULL AND retired_at IS NULL));

-- name: withdraw_publication
-- The text stays readable at its address, marked as withdrawn; lists and feeds drop it.
UPDATE publication SET withdrawal_reason = $2, public_changed_at = $3 WHERE id = $1;

-- name: public_publications
-- A page of publications in force, newest first; $1, $2: sort key of the previous page's last row.
SELECT p.id, p.state, p.public_version AS version, p.published_at, p.public_changed_at AS updated_at,
       p.withdrawal_reason, v.title, v.summary, v.body, v.topics, v.document_number, v.effective_from
FROM publication p JOIN publication_version v ON v.publication = p.id AND v.version = p.public_version
WHERE p.public_version IS NOT NULL AND p.state <> 'withdrawn'
  AND (p.published_at, p.id) < (coalesce($1::timestamptz, 'infinity'), coalesce($2, ''))
ORDER BY p.published_at DESC, p.id DESC
LIMIT $3;

-- name: public_publications_on
-- The same under the topic $3.
SELECT p.id, p.state, p.public_version AS version, p.published_at, p.public_changed_at AS updated_at,
       p.withdrawal_reason, v.title, v.summary, v.body, v.topics, v.document_number, v.effective_from
FROM (
    SELECT * FROM publication_topic
    WHERE topic = $3 AND (published_at, publication) < (coalesce($1::timestamptz, 'infinity'), coalesce($2, ''))
    ORDER BY published_at DESC, publication DESC LIMIT $4
) t
JOIN publication p ON p.id = t.publication
JOIN publication_version v ON v.publication = p.id AND v.version = p.public_version
ORDER BY t.published_at DESC, t.publication DESC;

-- name: public_publication
-- One that is or was public.
SELECT p.id, p.state, p.public_version AS version, p.published_at, p.public_changed_at AS updated_at,
       p.withdrawal_reason, v.title, v.summary, v.body, v.topics, v.document_number, v.effective_from
FROM publication p JOIN publication_version v ON v.publication = p.id AND v.version = p.public_version
WHERE p.id = $1;

-- name: feed_changed_at
-- When the content of the feed of all topics last changed: something was added or removed. Null: nothing was ever public.
SELECT max(greatest(published_at, retired_at)) FROM publication_version WHERE published_at IS NOT NULL;

-- name: feed_of_topic_changed_at
SELECT changed_at FROM topic_change WHERE topic = $1;

-- name: desk_publications
-- A page of the desk's list by last change; $1, $2: sort key of the previous page's last row.
SELECT p.id, p.state, p.version, p.public_version, p.changed_at, v.title, v.editor, v.approver
FROM publication p JOIN publication_version v ON v.publication = p.id AND v.version = p.version
WHERE (p.changed_at, p.id) < (coalesce($1::timestamptz, 'infinity'), coalesce($2, ''))
ORDER BY p.changed_at DESC, p.id DESC
LIMIT $3;

-- name: desk_publications_in
-- The same in the state $3.
SELECT p.id, p.state, p.version, p.public_version, p.changed_at, v.title, v.editor, v.approver
FROM publication p JOIN publication_version v ON v.publication = p.id AND v.version = p.version
WHERE p.state = $3 AND (p.changed_at, p.id) < (coalesce($1::timestamptz, 'infinity'), coalesce($2, ''))
ORDER BY p.changed_at DESC, p.id DESC
LIMIT $4;

-- name: desk_publication
-- The newest version with everything that the desk shows.
SELECT p.id, p.state, p.version, p.public_version, p.changed_at, p.published_at, p.withdrawal_reason,
       v.title, v.summary, v.body, v.topics, v.document_number, v.effective_from,
       v.editor, v.drafted_at, v.approver, v.approved_at
FROM publication p JOIN publication_version v ON v.publication = p.id AND v.version = p.version
WHERE p.id = $1;

-- name: push_progress
-- The progress of a publication's pushes, by version and state.
SELECT b.version, b.started_at, b.closed_at, d.state, count(d.id) AS deliveries
FROM push_batch b LEFT JOIN delivery d
  ON d.subject = b.publication AND d.version = b.version AND d.kind = 'publication'
WHERE b.publication = $1
GROUP BY b.version, b.started_at, b.closed_at, d.state
ORDER BY b.version DESC, d.state;

-- name: insert_subscription
-- Until it is confirmed, nothing but the confirmation is sent to its address.
INSERT INTO subscription (id, lane, state, topics, language, address_hash, address, wrapped_key, asked_at, confirmed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: subscription
-- One subscription.
SELECT id, lane, state, topics, language, address_hash, asked_at, confirmed_at, ended_at, generation
FROM subscription WHERE id = $1;

-- name: rotate_secret
-- The next secret of a webhook.
UPDATE subscription SET generation = generation + 1, rotated_at = $2
WHERE id = $1 AND lane = 'webhook' AND state = 'active'
RETURNING generation;

-- name: lock_address
-- Serialises transactions that activate a subscription of one address. Not by an aggregate: its row would outlive the
-- subscription, and keep the address's hash.
SELECT pg_advisory_xact_lock($1);

-- name: active_of_address
-- The subscription that a new one for the same address replaces.
SELECT id FROM subscription WHERE lane = $1 AND address_hash = $2 AND state = 'active';

-- name: confirm_subscription
-- Consent. Only a pending one can be confirmed.
UPDATE subscription SET state = 'active', confirmed_at = $2 WHERE id = $1 AND state = 'pending'
RETURNING lane, topics;

-- name: end_subscriptions
-- The address and its key are deleted with the consent.
UPDATE subscription SET state = 'ended', ended_at = $2, address = NULL, wrapped_key = NULL, address_hash = NULL
WHERE id = ANY($1::text[]) AND state = 'active'
RETURNING id, lane;

-- name: drop_unconfirmed
-- Without an answer there is no consent, and nothing to keep.
DELETE FROM subscription WHERE id = ANY($1::text[]) AND state = 'pending';

-- name: subscribers_page
-- A page of active subscriptions to any of the topics, by id.
SELECT id, lane FROM subscription
WHERE state = 'active' AND (topics = '{}' OR topics && $1::text[]) AND id > $2
ORDER BY id LIMIT $3;

-- name: contacts_of
-- What is known of some cases; no row for a case without contact.
SELECT inquiry, wanted, stated, erased, address IS NOT NULL AS email, webhook IS NOT NULL AS webhook
FROM contact WHERE inquiry = ANY($1::text[]);

-- name: want_notices
-- inquiry.received announced a contact, and whether it wants notices. If it does not, its address is not kept.
INSERT INTO contact (inquiry, wanted)
SELECT * FROM unnest($1::text[], $2::boolean[])
ON CONFLICT (inquiry) DO UPDATE
SET wanted = excluded.wanted,
    address = CASE WHEN excluded.wanted THEN contact.address END,
    wrapped_key = CASE WHEN excluded.wanted THEN contact.wrapped_key END,
    webhook = CASE WHEN excluded.wanted THEN contact.webhook END,
    webhook_key = CASE WHEN excluded.wanted THEN contact.webhook_key END;

-- name: announce_contacts
-- A step of the case says that its citizen wants notices, and inquiry.received has not come.
INSERT INTO contact (inquiry) SELECT DISTINCT unnest($1::text[]) ON CONFLICT (inquiry) DO NOTHING;

-- name: keep_contacts
-- contact.stated, before or after inquiry.received; nothing is kept for an erased case.
INSERT INTO contact (inquiry, stated, number, language, address, wrapped_key, webhook, webhook_key)
SELECT u.inquiry, true, u.number, u.language, u.address, u.wrapped_key, u.webhook, u.webhook_key
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])
    AS u (inquiry, number, language, address, wrapped_key, webhook, webhook_key)
ON CONFLICT (inquiry) DO UPDATE
SET stated = true, number = excluded.number, language = excluded.language, address = excluded.address,
    wrapped_key = excluded.wrapped_key, webhook = excluded.webhook, webhook_key = excluded.webhook_key
WHERE NOT contact.erased AND contact.wanted IS NOT FALSE
RETURNING inquiry, wanted;

-- name: erase_contacts
-- The mark stays, so that a contact.stated that arrives later is not kept.
INSERT INTO contact (inquiry, erased)
SELECT inquiry, true FROM unnest($1::text[]) AS u (inquiry)
ON CONFLICT (inquiry) DO UPDATE
SET erased = true, stated = false, number = NULL, language = NULL, address = NULL, wrapped_key = NULL,
    webhook = NULL, webhook_key = NULL;

-- name: forget_webhooks
-- Their endpoints have answered 410.
UPDATE contact SET webhook = NULL, webhook_key = NULL WHERE inquiry = ANY($1::text[]);

-- name: drop_open_notices
-- Nothing more is sent about an erased case; an attempt under way finds its row deleted.
DELETE FROM delivery
WHERE subject = ANY($1::text[]) AND kind = 'notice' AND state IN ('waiting', 'pending', 'sending');

-- name: release_waiting_notices
-- The contact has come and names the lane.
UPDATE delivery d SET state = 'pending', due_at = $3 FROM unnest($1::text[], $2::text[]) AS u (inquiry, lane)
WHERE d.subject = u.inquiry AND d.lane = u.lane AND d.state = 'waiting';

-- name: drop_waiting_notices
-- The contact has come; what still waits is on a lane that it does not name.
DELETE FROM delivery WHERE subject = ANY($1::text[]) AND state = 'waiting';

-- name: insert_early_steps
-- Steps of a case with a contact that came before inquiry.received: decided when it comes.
INSERT INTO early_step (inquiry, cause, step, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]);

-- name: take_early_steps
-- inquiry.received has come, or the case is erased.
DELETE FROM early_step WHERE inquiry = ANY($1::text[]) RETURNING inquiry, cause, step, at;

-- name: insert_notices
-- Notices to send, or waiting for their contact: one on each lane that it names, or may name.
INSERT INTO delivery (id, kind, lane, bulk, subject, recipient, step, at, state, due_at)
SELECT u.id, 'notice', u.lane, false, u.inquiry, u.inquiry, u.step, u.at, u.state, $7
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
    AS u (id, lane, inquiry, step, at, state);

-- name: insert_confirmation
-- Asks whether the owner of the address wants the subscription.
INSERT INTO delivery (id, kind, lane, bulk, subject, recipient, at, state, due_at)
VALUES ($1, 'confirmation', 'email', false, $2, $2, $3, 'pending', $4);

-- name: insert_push
-- Ledger rows of a push, one per subscriber.
INSERT INTO delivery (id, kind, lane, bulk, subject, recipient, version, at, state, due_at)
SELECT u.id, 'publication', u.lane, true, $4, u.recipient, $5, $6, 'pending', $7
FROM unnest($1::text[], $2::text[], $3::text[]) AS u (id, recipient, lane);

-- name: open_push_batch
-- A push starts.
INSERT INTO push_batch (publication, version, started_at) VALUES ($1, $2, $3);

-- name: push_is_open
-- Whether a row of the push is unfinished.
SELECT EXISTS (
    SELECT FROM delivery WHERE subject = $1 AND version = $2 AND state IN ('waiting', 'pending', 'sending')
);

-- name: close_push_batch
-- Only once: the batch that is still open.
UPDATE push_batch SET closed_at = $3 WHERE publication = $1 AND version = $2 AND closed_at IS NULL
RETURNING publication;

-- name: push_rows
-- The ledger rows of a push by id, for the tree hash.
SELECT id, lane, state, attempts FROM delivery
WHERE subject = $1 AND version = $2 AND kind = 'publication' ORDER BY id;

-- name: claim_deliveries
-- Due rows, and rows still `sending` at the end of their lease. The attempt counts from here.
UPDATE delivery SET state = 'sending', attempts = attempts + 1, due_at = $4
WHERE id IN (
    SELECT id FROM delivery
    WHERE lane = $1 AND bulk = $2 AND state IN ('pending', 'sending') AND due_at <= $3
    ORDER BY due_at LIMIT $5 FOR UPDATE SKIP LOCKED
)
RETURNING id, kind, lane, subject, recipient, version, step, at, attempts;

-- name: recheck
-- Before each mail of a batch, which may be minutes old; null: send it. Nothing goes to a subscriber who has left, about
-- a case that was erased (its row is gone), or with a text that was withdrawn or corrected.
SELECT CASE
    WHEN d.id IS NULL THEN 'no_contact'
    WHEN d.kind = 'notice' THEN NULL
    WHEN s.state IS DISTINCT FROM CASE d.kind WHEN 'confirmation' THEN 'pending' ELSE 'active' END THEN 'left'
    WHEN d.kind = 'publication' AND (p.state = 'withdrawn' OR p.public_version <> d.version) THEN 'superseded'
END
FROM (VALUES ($1::text)) AS asked (delivery)
LEFT JOIN delivery d ON d.id = asked.delivery
LEFT JOIN subscription s ON s.id = d.recipient
LEFT JOIN publication p ON p.id = d.subject;

-- name: release_deliveries
-- Claimed but not attempted: the lane was down.
UPDATE delivery d SET state = 'pending', attempts = d.attempts - 1, due_at = $3
FROM unnest($1::text[], $2::integer[]) AS u (id, attempts)
WHERE d.id = u.id AND d.attempts = u.attempts AND d.state = 'sending';

-- name: record_results
-- Only for the attempt that was claimed: a worker that has lost its lease writes nothing.
UPDATE delivery d SET state = u.state, due_at = u.due_at, error = u.error, finished_at = u.finished_at
FROM unnest($1::text[], $2::integer[], $3::text[], $4::timestamptz[], $5::text[], $6::timestamptz[])
    AS u (id, attempts, state, due_at, error, finished_at)
WHERE d.id = u.id AND d.attempts = u.attempts AND d.state = 'sending'
RETURNING d.id;

-- name: notice_recipients
-- Number, language and sealed contact points of some cases.
SELECT inquiry, number, language, address, wrapped_key, webhook, webhook_key FROM contact
WHERE inquiry = ANY($1::text[]) AND stated;

-- name: subscribers
-- Sealed addresses of some subscriptions.
SELECT id, lane, state, language, address, wrapped_key, generation, rotated_at FROM subscription
WHERE id = ANY($1::text[]) AND address IS NOT NULL;

-- name: versions_to_push
-- The texts of some pushes, unless they were withdrawn.
SELECT p.id, p.public_version AS version, p.published_at, p.public_changed_at, v.title, v.summary, v.topics,
       v.document_number, v.effective_from
FROM publication p JOIN publication_version v ON v.publication = p.id AND v.version = p.public_version
WHERE p.id = ANY($1::text[]) AND p.state <> 'withdrawn';

-- name: record_earlier_results
-- Notices that were sent or given up after the backup of a restored database.
UPDATE delivery d SET state = u.state, attempts = u.attempts, finished_at = u.finished_at
FROM unnest($1::text[], $2::integer[], $3::text[], $4::timestamptz[]) AS u (id, attempts, state, finished_at)
WHERE d.id = u.id AND d.state IN ('waiting', 'pending', 'sending')
RETURNING d.id;
