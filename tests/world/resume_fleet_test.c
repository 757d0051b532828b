/* Sessions of the real agent and the real client through the real relay, while links break in every
 * way that there is: each byte arrives once and in order at both ends, and the recording, rewinds
 * applied, has the same. */
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/world/fleet.h"

#define MINUTE	 (60 * USEC_PER_SEC)
#define ONE_DIAL (61 * USEC_PER_SEC) /* the longest pause, and a little */
#define SEEDS	 6
#define FAULTS	 60 /* of one story */
#define AT_ONCE	 4  /* in a row; then there is peace for a while, or ends would dial but seldom */
#define PEACE	 (61 * USEC_PER_SEC)

/* --- chance ----------------------------------------------------------------------------------- */

static uint64_t
chance(uint64_t *state, uint64_t below)
{
	*state += 0x9e3779b97f4a7c15;
	uint64_t x = *state;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return (x ^ (x >> 31)) % below;
}

/* What is typed or sent: numbered lines, so that a byte that is lost or doubled shows at once. */
#define LINE_LEN 8

static uint8_t
byte_of(uint64_t offset, unsigned salt)
{
	static const uint64_t tens[] = {1, 10, 100, 1000, 10000, 100000};
	size_t at = offset % LINE_LEN;

	if (at == 0)
		return (uint8_t)('a' + salt % 26);
	if (at == LINE_LEN - 1)
		return '\r';
	return (uint8_t)('0' + offset / LINE_LEN / tens[LINE_LEN - 2 - at] % 10);
}

static void
fill(uint8_t *p, size_t n, uint64_t offset, unsigned salt)
{
	for (size_t i = 0; i < n; i++)
		p[i] = byte_of(offset + i, salt);
}

static void
check_bytes(const uint8_t *p, size_t n, uint64_t offset, unsigned salt)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != byte_of(offset + i, salt))
			cr_fatal("byte %llu is %02x and not %02x", (unsigned long long)offset + i,
				p[i], byte_of(offset + i, salt));
}

/* --- the stage -------------------------------------------------------------------------------- */

struct stage {
	struct world *w;
	struct fleet_user *user;
	struct fleet_node *node;
	uint64_t chance;
	int faults, in_a_row;
};

static struct stage
stage_new(uint64_t seed, const char *conf)
{
	struct stage s = {.w = world_new(conf), .chance = seed};

	s.user = fleet_user_new(s.w, s.w->invite);
	s.node = fleet_node_new(s.user, "web-01");
	fleet_node_on(s.node);
	return s;
}

static bool
is_connected(const void *of)
{
	return fleet_node_state(of) == AGENT_CONNECTED;
}

static bool
has_link(const void *of)
{
	return conn_link(((const struct fleet_user *)of)->conn) != NULL;
}

static void
stage_end(struct stage *s)
{
	struct hw_err err = HW_ERR_INIT;

	if (conn_link(s->user->conn) == NULL)
		cr_assert(eq(int, fleet_user_connect(s->user, &err), 0), "%s", err.text);
	fleet_wait(s->w, is_connected, s->node, ONE_DIAL);
	fleet_check_idle(s->user, s->node);
	fleet_node_free(s->node);
	fleet_user_free(s->user);
	world_free(s->w);
}

/* --- faults ----------------------------------------------------------------------------------- */

static void
drop(struct stage *s, struct pair *line)
{
	(void)s;
	pair_drop(line, "the cable was cut");
}

static void
cut(struct stage *s, struct pair *line)
{
	(void)s;
	pair_cut(line, "the connection was reset");
}

/* For a while, which may be longer than the ends have patience. */
static void
silence(struct stage *s, struct pair *line)
{
	pair_pause(line, PAIR_A, true);
	pair_pause(line, PAIR_B, true);
	world_advance(s->w, (int64_t)chance(&s->chance, 40 * USEC_PER_SEC));
	pair_pause(line, PAIR_A, false);
	pair_pause(line, PAIR_B, false);
}

static void
silence_one_way(struct stage *s, struct pair *line)
{
	int side = chance(&s->chance, 2) == 0 ? PAIR_A : PAIR_B;

	pair_pause(line, side, true);
	world_advance(s->w, (int64_t)chance(&s->chance, 40 * USEC_PER_SEC));
	pair_pause(line, side, false);
}

/* One end has heard that it is over, and the other goes on as if it were not. */
static void
half_open(struct stage *s, struct pair *line)
{
	int side = chance(&s->chance, 2) == 0 ? PAIR_A : PAIR_B;

	pair_pause(line, !side, true);
	if (!pair_is_closed(line, side))
		pair_detach(line, side);
}

static void
stall(struct stage *s, struct pair *line)
{
	int side = chance(&s->chance, 2) == 0 ? PAIR_A : PAIR_B;

	pair_pause(line, side, true);
	world_advance(s->w, (int64_t)chance(&s->chance, 2 * USEC_PER_SEC));
	pair_pause(line, side, false);
}

static void (*const ways[])(struct stage *s, struct pair *line) = {
	drop, cut, silence, silence_one_way, half_open, stall};

/* With everything that it had not written by then. */
static void
kill_relay(struct stage *s)
{
	struct pair *lines[2 * FLEET_LINES];
	const struct fleet_lines *of[] = {&s->node->lines, &s->user->lines};
	struct hw_err err = HW_ERR_INIT;
	size_t n = 0;

	for (int i = 0; i < 2; i++)
		for (size_t j = 0; j < of[i]->n; j++)
			lines[n++] = of[i]->v[j];
	cr_assert(eq(int, world_kill(s->w, lines, n, &err), 0), "%s", err.text);
}

static void
restart_relay(struct stage *s)
{
	struct hw_err err = HW_ERR_INIT;

	cr_assert(eq(int, world_restart(s->w, &err), 0), "%s", err.text);
}

static void
break_something(struct stage *s)
{
	void (*way)(struct stage *, struct pair *) =
		ways[chance(&s->chance, sizeof(ways) / sizeof(ways[0]))];
	uint64_t which = chance(&s->chance, 3); /* the node's, the user's, or both */

	s->faults++;
	s->in_a_row++;
	if (chance(&s->chance, 6) == 0) {
		(chance(&s->chance, 3) == 0 ? restart_relay : kill_relay)(s);
		return;
	}
	if (which != 1)
		way(s, fleet_line(&s->node->lines));
	if (which != 0)
		way(s, fleet_line(&s->user->lines));
}

/* Time goes by, and now and then something breaks. */
static void
live(struct stage *s, bool goes_on)
{
	static const int64_t longest[] = {
		0, USEC_PER_MSEC, 100 * USEC_PER_MSEC, USEC_PER_SEC, 3 * USEC_PER_SEC};

	if (s->in_a_row == AT_ONCE && goes_on) {
		world_advance(s->w, PEACE);
		s->in_a_row = 0;
	}
	if (s->in_a_row < AT_ONCE && chance(&s->chance, 3) == 0)
		break_something(s);
	world_advance(s->w,
		(int64_t)chance(&s->chance,
			1 +
				(uint64_t)longest[chance(&s->chance,
					sizeof(longest) / sizeof(longest[0]))]));
}

/* --- programs --------------------------------------------------------------------------------- */

static bool
goes_on(const void *of)
{
	return !remote_is_waiting(((const struct fleet_program *)of)->remote);
}

static bool
is_over(const void *of)
{
	return ((const struct fleet_program *)of)->over;
}

/* What an echoing shell shows of it. */
static void
show(struct buf *out, const struct buf *typed)
{
	const uint8_t *p = buf_data(typed);

	buf_append_str(out, "$ ");
	for (size_t i = 0; i < typed->len; i++)
		if (p[i] == '\r')
			buf_append_str(out, "\r\n$ ");
		else
			buf_append_byte(out, p[i]);
}

static void
check_equal(const struct buf *got, const struct buf *wanted, const char *what)
{
	size_t n = got->len < wanted->len ? got->len : wanted->len;

	for (size_t i = 0; i < n; i++)
		if (buf_data(got)[i] != buf_data(wanted)[i])
			cr_fatal("%s: byte %zu is %02x and not %02x", what, i, buf_data(got)[i],
				buf_data(wanted)[i]);
	cr_assert(eq(sz, got->len, wanted->len), "%s", what);
}

static void
send_some(struct stage *s, struct fleet_program *p, struct buf *sent, size_t most)
{
	uint8_t bytes[65536];
	size_t n = 1 + chance(&s->chance, most);

	fill(bytes, n, sent->len, 0);
	n = remote_send(p->remote, bytes, n);
	buf_append(sent, bytes, n);
}

struct until {
	const struct fleet_program *program;
	size_t n; /* bytes of output */
};

static bool
has_shown(const void *of)
{
	const struct until *u = of;

	cr_assert(le(sz, u->program->out[STREAM_OUT].len, u->n), "more than there is");
	return u->program->out[STREAM_OUT].len == u->n;
}

static void
resize(struct stage *s, struct fleet_program *p, int *cols, int *rows)
{
	*cols = 20 + (int)chance(&s->chance, 200);
	*rows = 5 + (int)chance(&s->chance, 80);
	remote_resize(p->remote, *cols, *rows);
}

static void
check_record(struct stage *s, struct fleet_program *p, const struct buf *typed,
	const struct buf *shown)
{
	struct fleet_record r = fleet_record_read(s->user, p->session);

	cr_assert(r.complete);
	check_equal(&r.bytes[STREAM_OUT], shown, "the recording's output");
	check_equal(&r.bytes[STREAM_IN], typed, "the recording's input");
	fleet_record_fini(&r);
}

/* Whatever broke last is whole again. */
static void
heal(struct stage *s)
{
	fleet_wait(s->w, is_connected, s->node, 4 * ONE_DIAL);
	fleet_wait(s->w, has_link, s->user, 4 * ONE_DIAL);
	world_advance(s->w, 31 * USEC_PER_SEC); /* a half of an old link is found dead */
	fleet_wait(s->w, is_connected, s->node, 4 * ONE_DIAL);
	fleet_wait(s->w, has_link, s->user, 4 * ONE_DIAL);
}

static void
end_shell(struct stage *s, struct fleet_program *p, struct buf *typed, struct buf *shown)
{
	static const char last[] = "\rexit 7\r";

	cr_assert(eq(sz, remote_send(p->remote, last, strlen(last)), strlen(last)));
	buf_append(typed, last, strlen(last));
	buf_append_str(shown, "\r\n$ exit 7\r\n");
	fleet_wait(s->w, is_over, p, MINUTE);
	cr_assert(p->exit.exited, "%s", p->why);
	cr_assert(eq(int, p->exit.status, 7));
	check_equal(&p->out[STREAM_OUT], shown, "the terminal");
	check_record(s, p, typed, shown);
}

static void
shell_story(uint64_t seed)
{
	struct stage s = stage_new(seed, NULL);
	struct fleet_program *p = fleet_shell(s.user, s.node);
	const struct fake_count *count = fake_programs_count(s.node->programs);
	struct buf typed, shown;
	int cols = 80, rows = 24;

	buf_init(&typed, WORLD_STREAM_MAX);
	buf_init(&shown, WORLD_STREAM_MAX);
	while (s.faults < FAULTS) {
		send_some(&s, p, &typed, 40);
		if (chance(&s.chance, 10) == 0)
			resize(&s, p, &cols, &rows);
		live(&s, goes_on(p));
		cr_assert(not(p->over), "seed %llu: %s", (unsigned long long)seed, p->why);
	}
	heal(&s);
	show(&shown, &typed);
	const struct until all = {p, shown.len};
	fleet_wait(s.w, has_shown, &all, 4 * ONE_DIAL);
	check_equal(&p->out[STREAM_OUT], &shown, "the terminal");
	cr_assert(eq(int, count->cols, cols));
	cr_assert(eq(int, count->rows, rows));
	end_shell(&s, p, &typed, &shown);
	fleet_program_free(p);
	stage_end(&s);
	buf_fini(&typed);
	buf_fini(&shown);
}

Test(resume_fleet, what_is_typed_and_shown_outlives_whatever_breaks)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		shell_story(seed);
}

/* Ends its input while links break, too. */
static void
exec_story(uint64_t seed)
{
	struct stage s = stage_new(seed, NULL);
	struct fleet_program *p = fleet_exec(s.user, s.node, "cat");
	struct buf sent;

	buf_init(&sent, WORLD_STREAM_MAX);
	while (s.faults < FAULTS) {
		send_some(&s, p, &sent, s.faults % 2 == 0 ? 60000 : 100);
		live(&s, goes_on(p));
		cr_assert(not(p->over), "seed %llu: %s", (unsigned long long)seed, p->why);
	}
	remote_end_input(p->remote);
	fleet_wait(s.w, is_over, p, 4 * ONE_DIAL);
	cr_assert(p->exit.exited, "seed %llu: %s", (unsigned long long)seed, p->why);
	cr_assert(eq(int, p->exit.status, 0));
	check_equal(&p->out[STREAM_OUT], &sent, "the output");
	heal(&s);
	check_record(&s, p, &sent, &sent);
	fleet_program_free(p);
	stage_end(&s);
	buf_fini(&sent);
}

Test(resume_fleet, what_goes_through_an_exec_outlives_whatever_breaks)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		exec_story(seed);
}

/* --- forwards --------------------------------------------------------------------------------- */

#define PIPES 4

/* One connection: what was sent into each end, and what came out there. */
struct pipe_end {
	int fd;
	uint64_t sent, got;
	bool ended; /* it was told the end of what the other sent */
};
struct pipe_ends {
	struct pipe_end ends[2];
};

static void
pipe_send(struct stage *s, struct pipe_end *e, unsigned salt)
{
	static uint8_t bytes[40000];
	size_t n = 1 + chance(&s->chance, sizeof(bytes));

	fill(bytes, n, e->sent, salt);
	ssize_t r = send(e->fd, bytes, n, MSG_NOSIGNAL);
	cr_assert(r >= 0 || errno == EAGAIN, "%s", strerror(errno));
	e->sent += r > 0 ? (uint64_t)r : 0;
}

static void
pipe_take(struct pipe_end *e, unsigned salt)
{
	static uint8_t bytes[65536];
	ssize_t r;

	while (!e->ended && (r = recv(e->fd, bytes, sizeof(bytes), 0)) >= 0) {
		check_bytes(bytes, (size_t)r, e->got, salt);
		e->got += (uint64_t)r;
		e->ended = r == 0;
	}
	cr_assert(e->ended || errno == EAGAIN, "%s", strerror(errno));
}

/* Each direction has bytes of its own. */
static void
pipes_move(struct stage *s, struct pipe_ends *pipes, bool more)
{
	for (unsigned i = 0; i < PIPES; i++)
		for (unsigned side = 0; side < 2; side++) {
			struct pipe_end *e = &pipes[i].ends[side];
			if (more && chance(&s->chance, 3) == 0)
				pipe_send(s, e, 2 * i + side);
			if (chance(&s->chance, 4) != 0)
				pipe_take(e, 2 * i + !side);
		}
}

static bool
pipes_ended(const struct pipe_ends *pipes)
{
	for (int i = 0; i < PIPES; i++)
		if (!pipes[i].ends[0].ended || !pipes[i].ends[1].ended)
			return false;
	return true;
}

static void
forward_story(uint64_t seed)
{
	struct stage s = stage_new(seed, NULL);
	struct fleet_forward *f = fleet_forward_new(s.user, s.node);
	struct pipe_ends pipes[PIPES] = {0};

	for (int i = 0; i < PIPES; i++)
		fleet_forward_connect(&pipes[i].ends[0].fd, &pipes[i].ends[1].fd, f);
	while (s.faults < FAULTS) {
		pipes_move(&s, pipes, true);
		live(&s, f->waiting == 0);
		cr_assert(not(f->over), "seed %llu: %s", (unsigned long long)seed, f->why);
		cr_assert(eq(int, f->failed, 0), "seed %llu: %s", (unsigned long long)seed,
			f->failure);
	}
	for (int i = 0; i < PIPES; i++)
		for (int side = 0; side < 2; side++)
			shutdown(pipes[i].ends[side].fd, SHUT_WR);
	for (int i = 0; i < 5000 && !pipes_ended(pipes); i++) {
		pipes_move(&s, pipes, false);
		world_advance(s.w, 50 * USEC_PER_MSEC);
	}
	cr_assert(eq(int, f->failed, 0), "%s", f->failure);
	for (int i = 0; i < PIPES; i++) {
		cr_assert(pipes[i].ends[0].ended && pipes[i].ends[1].ended, "seed %llu, %d",
			(unsigned long long)seed, i);
		cr_assert(eq(u64, pipes[i].ends[0].got, pipes[i].ends[1].sent));
		cr_assert(eq(u64, pipes[i].ends[1].got, pipes[i].ends[0].sent));
		close(pipes[i].ends[0].fd);
		close(pipes[i].ends[1].fd);
	}
	heal(&s);
	world_advance(s.w, 61 * USEC_PER_SEC); /* a CLOSE may have been lost with its link */
	cr_assert(eq(int, forwarder_count(f->forwarder).open, 0));
	cr_assert(eq(sz, world_entries(s.w, "connection.end", NULL, 0), PIPES));
	fleet_forward_free(f);
	stage_end(&s);
}

Test(resume_fleet, what_goes_through_a_forward_outlives_whatever_breaks)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		forward_story(seed);
}

Test(resume_fleet, a_connection_that_ends_long_after_its_last_byte_is_closed_in_order)
{
	struct stage s = stage_new(1, NULL);
	struct fleet_forward *f = fleet_forward_new(s.user, s.node);
	struct pipe_ends p = {0};

	fleet_forward_connect(&p.ends[0].fd, &p.ends[1].fd, f);
	pipe_send(&s, &p.ends[0], 0);
	pipe_send(&s, &p.ends[1], 1);
	world_advance(s.w, USEC_PER_SEC);
	pipe_take(&p.ends[0], 1);
	pipe_take(&p.ends[1], 0);
	world_advance(s.w, USEC_PER_SEC);
	shutdown(p.ends[0].fd, SHUT_WR);
	shutdown(p.ends[1].fd, SHUT_WR);
	world_advance(s.w, USEC_PER_SEC);
	pipe_take(&p.ends[0], 1);
	pipe_take(&p.ends[1], 0);
	cr_assert(p.ends[0].ended && p.ends[1].ended);
	cr_assert(eq(int, forwarder_count(f->forwarder).open, 0));
	cr_assert(eq(sz, world_entries(s.w, "connection.end", NULL, OUTCOME_OK), 1));
	close(p.ends[0].fd);
	close(p.ends[1].fd);
	fleet_forward_free(f);
	stage_end(&s);
}

static bool
has_ended(int fd)
{
	ssize_t n = recv(fd, &(char){0}, 1, 0);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

/* --- ends, while something is lost ------------------------------------------------------------ */

Test(resume_fleet, a_program_that_exits_while_its_user_is_away_is_told_when_it_is_back)
{
	struct stage s = stage_new(1, NULL);
	struct fleet_program *p = fleet_shell(s.user, s.node);

	s.user->unreachable = true;
	cr_assert(eq(sz, remote_send(p->remote, "exit 9\r", 7), 7));
	pair_pause(fleet_line(&s.user->lines), PAIR_A,
		true); /* the word of it does not come through */
	world_settle(s.w);
	pair_drop(fleet_line(&s.user->lines), "the cable was cut");
	world_advance(s.w, 20 * USEC_PER_SEC);
	cr_assert(not(p->over));
	s.user->unreachable = false;
	fleet_wait(s.w, is_over, p, 5 * USEC_PER_SEC);
	cr_assert(p->exit.exited, "%s", p->why);
	cr_assert(eq(int, p->exit.status, 9));
	cr_assert_str_eq(fleet_shown(p, STREAM_OUT), "$ exit 9\r\n");
	fleet_program_free(p);
	stage_end(&s);
}

Test(resume_fleet, a_program_that_exits_while_its_node_is_away_is_told_when_it_is_back)
{
	struct stage s = stage_new(1, NULL);
	struct fleet_program *p = fleet_shell(s.user, s.node);

	s.node->unreachable = true;
	cr_assert(eq(sz, remote_send(p->remote, "exit 9\r", 7), 7));
	pair_pause(fleet_line(&s.node->lines), PAIR_B, true);
	world_settle(s.w);
	pair_drop(fleet_line(&s.node->lines), "the cable was cut");
	world_advance(s.w, 20 * USEC_PER_SEC);
	cr_assert(not(p->over));
	s.node->unreachable = false;
	fleet_wait(s.w, is_over, p, ONE_DIAL);
	cr_assert(p->exit.exited, "%s", p->why);
	cr_assert(eq(int, p->exit.status, 9));
	cr_assert_str_eq(fleet_shown(p, STREAM_OUT), "$ exit 9\r\n");
	fleet_program_free(p);
	stage_end(&s);
}

Test(resume_fleet, a_session_that_is_ended_while_its_user_is_away_tells_why)
{
	struct stage s = stage_new(1, NULL);
	struct fleet_program *p = fleet_shell(s.user, s.node);
	struct msg_terminate_session_request req = {.session_id = p->session};

	s.node->unreachable = true;
	pair_drop(fleet_line(&s.node->lines), "the cable was cut");
	world_settle(s.w);
	pair_drop(fleet_line(&s.user->lines), "the cable was cut");
	world_settle(s.w);
	fleet_wait(s.w, has_link, s.user, ONE_DIAL);
	fleet_call(s.user, OP_terminate_session, &(void *){NULL}, &req);
	fleet_wait(s.w, is_over, p, 5 * USEC_PER_SEC);
	cr_assert(eq(int, p->exit.code, HW_ETERMINATED));
	cr_assert(ne(ptr, strstr(p->why, "admin"), NULL), "%s", p->why);
	s.node->unreachable = false;
	fleet_program_free(p);
	stage_end(&s);
}

Test(resume_fleet, a_forward_whose_agent_was_started_anew_ends_and_says_so)
{
	struct stage s = stage_new(1, NULL);
	struct fleet_forward *f = fleet_forward_new(s.user, s.node);
	int near, far;

	fleet_forward_connect(&near, &far, f);
	fleet_node_off(s.node);
	fleet_node_on(s.node);
	world_advance(s.w, 5 * USEC_PER_SEC);
	cr_assert(f->over);
	cr_assert(ne(ptr, strstr(f->why, "its agent was started anew"), NULL), "%s", f->why);
	cr_assert(has_ended(near));
	close(near);
	close(far);
	fleet_forward_free(f);
	stage_end(&s);
}

static bool
forward_is_over(const void *of)
{
	return ((const struct fleet_forward *)of)->over;
}

Test(resume_fleet, a_forward_whose_user_or_node_stays_away_ends_after_the_grace)
{
	for (int node = 0; node < 2; node++) {
		struct stage s = stage_new(1, "resume_seconds = 20");
		struct fleet_forward *f = fleet_forward_new(s.user, s.node);
		bool *away = node ? &s.node->unreachable : &s.user->unreachable;
		int near, far;

		fleet_forward_connect(&near, &far, f);
		*away = true;
		pair_drop(fleet_line(node ? &s.node->lines : &s.user->lines), "the cable was cut");
		world_advance(s.w, 18 * USEC_PER_SEC);
		cr_assert(not(f->over));
		fleet_wait(s.w, forward_is_over, f, 5 * USEC_PER_SEC);
		cr_assert(ne(ptr, strstr(f->why, "link"), NULL), "%s", f->why);
		world_advance(s.w, 80 * USEC_PER_SEC);
		cr_assert(has_ended(near));
		cr_assert(has_ended(far));
		*away = false;
		close(near);
		close(far);
		fleet_forward_free(f);
		stage_end(&s);
	}
}
