#include "relay/cli/confine.h"

/* clang-format off */
int
confine_relay(char said[SANDBOX_SAID_MAX], const struct confine *c, struct hw_err *err)
{
	const struct sandbox_path paths[] = {
		{c->dir, SANDBOX_WRITE},
		{c->master_key, SANDBOX_READ},
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
	const struct sandbox s = {
		.paths = paths,
		.n_paths = sizeof(paths) / sizeof(paths[0]),
		.ports = ports,
		.n_ports = 2,
	};

	return sandbox_enter(said, &s, err);
}
