#include "client/socks.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/err.h"

#define VERSION	     5
#define METHOD_NONE  0x00
#define METHOD_NO    0xff
#define CMD_CONNECT  1
#define ATYP_V4	     1
#define ATYP_NAME    3
#define ATYP_V6	     4
#define REQUEST_HEAD 5 /* up to the first byte of the address, which is a name's length */

void
socks_init(struct socks *s)
{
	*s = (struct socks){.state = SOCKS_GREETING};
}

static void
say(struct socks *s, const uint8_t *p, size_t n)
{
	memcpy(s->reply, p, n);
	s->n_reply = n;
}

static void
answer(struct socks *s, enum socks_reply reply)
{
	const uint8_t bytes[SOCKS_REPLY_MAX] = {VERSION, (uint8_t)reply, 0, ATYP_V4};

	say(s, bytes, sizeof(bytes));
}

static void
refuse(struct socks *s, enum socks_reply reply, const char *why)
{
	answer(s, reply);
	s->state = SOCKS_REFUSED;
	s->why = why;
}

/* --- greeting --------------------------------------------------------------------------------- */

/* Bytes that are needed to go on; what speaks another protocol gets no word of this one. */
static size_t
want_greeting(struct socks *s)
{
	if (s->n_got >= 1 && s->got[0] != VERSION) {
		s->state = SOCKS_REFUSED;
		s->why = "a program connected that does not speak SOCKS5";
		return 0;
	}
	return s->n_got < 2 ? 2 : 2 + (size_t)s->got[1];
}

static void
take_greeting(struct socks *s)
{
	bool none = memchr(s->got + 2, METHOD_NONE, s->got[1]) != NULL;
	const uint8_t chosen[2] = {VERSION, none ? METHOD_NONE : METHOD_NO};

	say(s, chosen, sizeof(chosen));
	s->state = none ? SOCKS_REQUEST : SOCKS_REFUSED;
	if (!none)
		s->why = "a program wants to authenticate itself, which is not served here";
}

/* --- request ---------------------------------------------------------------------------------- */

static size_t
address_len(const struct socks *s)
{
	return s->got[3] == ATYP_V4 ? 4 : s->got[3] == ATYP_V6 ? 16 : 1 + (size_t)s->got[4];
}

static size_t
want_request(struct socks *s)
{
	if (s->n_got >= 1 && s->got[0] != VERSION) {
		refuse(s, SOCKS_FAILURE, "what a program asked for is no request of SOCKS5");
		return 0;
	}
	if (s->n_got < REQUEST_HEAD)
		return REQUEST_HEAD;
	if (s->got[1] != CMD_CONNECT) {
		refuse(s, SOCKS_NO_SUCH_COMMAND,
			"a program asked for BIND or UDP, and only CONNECT is served");
		return 0;
	}
	if (s->got[3] != ATYP_V4 && s->got[3] != ATYP_V6 && s->got[3] != ATYP_NAME) {
		refuse(s, SOCKS_NO_SUCH_ADDRESS,
			"what a program asked for is of no kind of address that there is");
		return 0;
	}
	return 4 + address_len(s) + 2;
}

static void
take_request(struct socks *s)
{
	const uint8_t *address = s->got + 4, *port = address + address_len(s);

	if (s->got[3] == ATYP_NAME) {
		memcpy(s->host, address + 1, address[0]);
		s->host[address[0]] = '\0';
	} else {
		inet_ntop(s->got[3] == ATYP_V4 ? AF_INET : AF_INET6, address, s->host,
			sizeof(s->host));
	}
	s->port = port[0] << 8 | port[1];
	if (s->got[3] == ATYP_NAME && (address[0] == 0 || strlen(s->host) != address[0]))
		refuse(s, SOCKS_HOST_UNREACHABLE, "a program asked for a name that is none");
	else if (s->port == 0)
		refuse(s, SOCKS_FAILURE, "a program asked for port 0");
	else
		s->state = SOCKS_CONNECT;
}

/* --- both ------------------------------------------------------------------------------------- */

static const struct {
	size_t (*want)(struct socks *s);
	void (*take)(struct socks *s);
} steps[] = {
	[SOCKS_GREETING] = {want_greeting, take_greeting},
	[SOCKS_REQUEST] = {want_request,	 take_request },
};

size_t
socks_take(struct socks *s, const uint8_t *p, size_t n)
{
	size_t used = 0;

	while (s->state < SOCKS_CONNECT) {
		size_t want = steps[s->state].want(s);
		if (s->state >= SOCKS_CONNECT)
			break;
		if (s->n_got < want) {
			size_t part = want - s->n_got < n - used ? want - s->n_got : n - used;
			if (part == 0)
				break;
			memcpy(s->got + s->n_got, p + used, part);
			s->n_got += part;
			used += part;
			continue;
		}
		steps[s->state].take(s);
		s->n_got = 0;
		if (s->n_reply > 0)
			break; /* it goes before anything else */
	}
	return used;
}

void
socks_answer(struct socks *s, enum socks_reply reply)
{
	answer(s, reply);
	if (reply != SOCKS_OK)
		s->state = SOCKS_REFUSED;
}

enum socks_reply
socks_reply_of(int code)
{
	static const struct {
		int code;
		enum socks_reply reply;
	} rows[] = {
		{HW_EREFUSED,     SOCKS_CONNECTION_REFUSED},
		{HW_EUNREACHABLE, SOCKS_HOST_UNREACHABLE	},
		{HW_ERESOLVE,     SOCKS_HOST_UNREACHABLE  },
		{HW_EVALIDATION,	 SOCKS_HOST_UNREACHABLE  },
		{HW_ETIMEOUT,     SOCKS_TIMED_OUT	     },
		{HW_EDENIED,	     SOCKS_NOT_ALLOWED	      },
		{HW_ELOCAL,	    SOCKS_NOT_ALLOWED	     },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].code == code)
			return rows[i].reply;
	return SOCKS_FAILURE;
}
