#include "relay/core/session_screen.h"

#include <string.h>

#include "relay/core/session_private.h"

#define SCREEN_MAX    (256 * 1024)
#define PART_MAX      (32 * 1024)
#define TAIL_MAX      SESSION_WINDOW
#define ANSWER_WITHIN (2 * USEC_PER_SEC)
#define SHOWN_WITHIN  (10 * USEC_PER_SEC) /* with all output that comes before it */
#define ASK_EVERY     (USEC_PER_SEC / 4)

/* Control frames that may wait on a terminal's link, with a screen: too many break the link. */
#define WORDS_QUEUED_MAX (1024 * 1024)

_Static_assert(SCREEN_MAX <= JOURNAL_RECORD_MAX, "a screen is one record");

/* --- asking ----------------------------------------------------------------------------------- */

static void
forget(struct session *s)
{
	struct session_screen *sc = &s->screen;

	loop_timer_stop(s->broker->loop, &sc->timer);
	sc->state = SCREEN_IDLE;
	sc->resized = false;
	buf_fini(&sc->bytes);
	buf_fini(&sc->tail);
}

static void
show(struct session *s, const struct session_shown *shown)
{
	session_accept_shown(s, shown);
	if (s->state == SESSION_LIVE)
		session_viewers_show(s, shown);
}

static void
fail(struct session *s, const char *why)
{
	log_info(s, "screen.failed", "why=%s", log_value(why));
	forget(s);
	show(s, NULL);
}

static void
on_timer(void *arg)
{
	struct session *s = arg;

	if (s->screen.state == SCREEN_IDLE)
		session_screen_sweep(s); /* who came too soon */
	else if (s->screen.state == SCREEN_WHOLE)
		fail(s, "the output that it shows did not come");
	else
		fail(s, "the node did not answer");
}

void
session_screen_init(struct session *s)
{
	struct session_screen *sc = &s->screen;

	*sc = (struct session_screen){
		.timer = {.fn = on_timer, .arg = s}
	   };
	buf_init(&sc->bytes, SCREEN_MAX);
	buf_init(&sc->tail, TAIL_MAX);
}

void
session_screen_fini(struct session *s)
{
	buf_fini(&s->screen.bytes);
	buf_fini(&s->screen.tail);
}

void
session_screen_forget(struct session *s)
{
	forget(s);
	s->screen.asked_at = 0;
}

void
session_screen_resized(struct session *s)
{
	if (s->screen.state == SCREEN_IDLE || s->screen.resized)
		return;
	forget(s);
	s->screen.resized = true;
	session_screen_want(s);
}

/* How long those who wait now have to, so that who comes and goes does not fill the recording. */
static int64_t
too_soon_by(const struct session *s)
{
	int64_t asked = s->screen.asked_at, next = asked + ASK_EVERY, now = session_now(s);

	return asked != 0 && now < next ? next - now : 0;
}

void
session_screen_want(struct session *s)
{
	struct session_screen *sc = &s->screen;

	if (sc->state != SCREEN_IDLE || s->state != SESSION_LIVE)
		return;
	if (s->to_node == NULL && s->exited_at != 0) {
		show(s, NULL); /* it is gone with its node */
		return;
	}
	if (!session_takes_input(s))
		return; /* the node's return asks */
	int64_t wait = too_soon_by(s);
	if (wait > 0) {
		loop_timer_start(s->broker->loop, &sc->timer, wait);
		return;
	}
	sc->state = SCREEN_ASKED;
	sc->asked_at = session_now(s);
	sc->nonce++;
	channel_control(s->to_node,
		&(struct msg_control){.type = CONTROL_REPAINT, .nonce = sc->nonce});
	loop_timer_start(s->broker->loop, &sc->timer, ANSWER_WITHIN);
}

void
session_screen_sweep(struct session *s)
{
	if (s->screen.state == SCREEN_IDLE && s->state == SESSION_LIVE && !s->frozen &&
		(session_needs_screen(s) || session_viewers_wait(s)))
		session_screen_want(s);
}

/* --- showing ---------------------------------------------------------------------------------- */

static void
deliver(struct session *s)
{
	struct session_screen *sc = &s->screen;
	struct buf bytes = sc->bytes, tail = sc->tail;
	const struct session_shown shown = {sc->offset, &bytes, &tail};
	const struct journal_record rec = {.type = JOURNAL_SCREEN,
		.stream = STREAM_OUT,
		.offset = sc->offset,
		.bytes = buf_data(&bytes),
		.len = bytes.len};

	if (session_record(s, &rec, NULL) < 0)
		return; /* it is frozen */
	buf_init(&sc->bytes, SCREEN_MAX);
	buf_init(&sc->tail, TAIL_MAX);
	forget(s);
	show(s, &shown);
	buf_fini(&bytes);
	buf_fini(&tail);
}

static void
deliver_when_due(struct session *s)
{
	struct session_screen *sc = &s->screen;

	if (sc->state == SCREEN_WHOLE && s->reached[STREAM_OUT] >= sc->offset)
		deliver(s);
}

/* NULL when there is nothing against it. */
static const char *
objection(const struct session *s, const struct msg_control *c)
{
	const struct session_screen *sc = &s->screen;

	if (c->bytes.n > PART_MAX || sc->bytes.len + c->bytes.n > SCREEN_MAX)
		return "the node sent more than a screen takes";
	if (sc->state == SCREEN_ASKED && (uint64_t)c->offset < s->reached[STREAM_OUT])
		return "the node sent one of before";
	if (sc->state == SCREEN_COMES && (uint64_t)c->offset != sc->offset)
		return "the node sent parts of different ones";
	if (!c->more && sc->bytes.len + c->bytes.n == 0)
		return "the node keeps none";
	return NULL;
}

void
session_screen_take(struct session *s, const struct msg_control *c)
{
	struct session_screen *sc = &s->screen;
	bool awaited = sc->state == SCREEN_ASKED || sc->state == SCREEN_COMES;

	if (!awaited || c->nonce != sc->nonce)
		return;
	const char *why = objection(s, c);
	if (why == NULL && buf_append(&sc->bytes, c->bytes.p, c->bytes.n) < 0)
		why = "there is no memory for it";
	if (why != NULL) {
		fail(s, why);
		return;
	}
	sc->offset = (uint64_t)c->offset;
	sc->state = c->more ? SCREEN_COMES : SCREEN_WHOLE;
	if (c->more)
		return;
	loop_timer_start(s->broker->loop, &sc->timer, SHOWN_WITHIN);
	deliver_when_due(s);
}

void
session_screen_output(struct session *s, uint64_t offset, const uint8_t *p, size_t n)
{
	struct session_screen *sc = &s->screen;

	if (sc->state < SCREEN_COMES)
		return;
	if (offset + n > sc->offset) {
		size_t before = offset < sc->offset ? (size_t)(sc->offset - offset) : 0;
		if (buf_append(&sc->tail, p + before, n - before) < 0) {
			fail(s, "too much output came before it was whole");
			return;
		}
	}
	deliver_when_due(s);
}

bool
session_shown_fits(const struct session_shown *shown, const struct channel *ch)
{
	size_t n = shown != NULL ? shown->bytes->len : 0;

	return link_words_queued(channel_link(ch)) + n <= WORDS_QUEUED_MAX;
}

void
session_shown_tell(const struct session_shown *shown, struct channel *ch)
{
	const uint8_t *p = buf_data(shown->bytes);
	size_t left = shown->bytes->len;

	do {
		size_t n = left < PART_MAX ? left : PART_MAX;
		channel_control(ch,
			&(struct msg_control){
				.type = CONTROL_SCREEN,
				.offset = (int64_t)shown->offset,
				.bytes = {p, n},
				.more = left > n
		});
		p += n;
		left -= n;
	} while (left > 0);
}
