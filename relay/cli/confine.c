#include "relay/cli/confine.h"

#include "proto/sandbox/names.h"

/* clang-format off */
#define OWN 16 /* what it always names */
#define TRUST 3 /* where the system keeps whom it trusts */

int
confine_relay(char said[SANDBOX_SAID_MAX], const struct confine *c, struct hw_err *err)
{
	struct sandbox_path paths[OWN + TRUST + NAMES_PATHS_MAX] = {
		{c->dir, SANDBOX_WRITE},
		{c->master_key, SANDBOX_READ},
		{c->s3_secret, SANDBOX_READ},
		{c->s3_ca, SANDBOX_READ},
		{c->stream_dir, SANDBOX_WRITE},
		{c->anchor_dir, SANDBOX_WRITE},
		{c->stream_files[0], SANDBOX_READ},
		{c->stream_files[1], SANDBOX_READ},
		{c->stream_files[2], SANDBOX_READ},
		/* libwebsockets wants it open */
		{"/dev/urandom", SANDBOX_READ},
		/* the names that it may listen on, and nobody's beyond this machine */
		{"/etc/hosts", SANDBOX_READ},
		{"/etc/nsswitch.conf", SANDBOX_READ},
		{"/etc/host.conf", SANDBOX_READ},
		{"/etc/gai.conf", SANDBOX_READ},
		{"/etc/resolv.conf", SANDBOX_READ},
		/* how many threads are worth it */
		{"/sys/devices/system/cpu", SANDBOX_READ},
	};
	const uint16_t ports[] = {(uint16_t)c->listen_port, (uint16_t)c->metrics_port};
	struct sandbox s = {
		.paths = paths,
		.n_paths = OWN,
		.ports = ports,
		.n_ports = 2,
		.dials = c->dials,
	};

	if (c->dials) { /* the names of everybody, and whom the system trusts */
		paths[s.n_paths++] = (struct sandbox_path){"/etc/ssl", SANDBOX_READ};
		paths[s.n_paths++] = (struct sandbox_path){"/usr/lib/ssl", SANDBOX_READ};
		paths[s.n_paths++] = (struct sandbox_path){"/usr/share/ca-certificates", SANDBOX_READ};
		s.n_paths += names_paths(paths + s.n_paths);
		names_load();
	}
	return sandbox_enter(said, &s, err);
}
