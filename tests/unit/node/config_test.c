#include "node/config.h"

#include <sys/stat.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/facts.h"
#include "node/status.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/file.h"
#include "proto/schema/schema.h"

#define PIN "3cbd351e5de318e4995bac0514b9ac6221487929fe43681e4f207f1c151231b0"

Test(config, settings_and_their_defaults)
{
	struct node_config c;

	cr_assert_eq(node_config_parse(&c,
			     "# mine\n relay = https://r.example:8443#sha256:" PIN
			     "\n\nname=web 1\n",
			     NULL),
		0);
	cr_assert_str_eq(c.relay.host, "r.example");
	cr_assert_eq(c.relay.port, 8443);
	cr_assert_str_eq(c.relay.pin, PIN);
	cr_assert_str_eq(c.name, "web 1");
	cr_assert_str_eq(c.run_as, "hawser");
	cr_assert_str_eq(c.command_run_as, "root");
	cr_assert_str_eq(c.agent_user, "hawser-node");
	cr_assert_eq(c.commands_running, 0);
	cr_assert_str_eq(c.reboot_command, "");
}

Test(config, a_service_of_pam_is_a_name_or_none)
{
	static const char *const bad[] = {
		"../passwd", "/etc/pam.d/hawser", ".hidden", "two words", "a\tb"};
	char text[256];
	struct node_config c;
	struct hw_err err = HW_ERR_INIT;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text),
			"relay = https://r.example:8443#sha256:" PIN "\npam = %s\n", bad[i]);
		cr_assert_eq(node_config_parse(&c, text, &err), HW_EVALIDATION, "%s", bad[i]);
		cr_assert_not_null(strstr(hw_err_text(&err), "pam is the name of a file"));
	}
	static const char *const none[] = {"", "off"};
	for (size_t i = 0; i < 2; i++) {
		snprintf(text, sizeof(text),
			"pam = login\nrelay = https://r.example:8443#sha256:" PIN "\npam = %s\n",
			none[i]);
		cr_assert_eq(node_config_parse(&c, text, &err), 0);
		cr_assert_str_eq(c.pam, "");
	}
}

Test(config, settings_of_commands)
{
	struct node_config c;

	cr_assert_eq(node_config_parse(&c,
			     "relay = https://r.example:8443#sha256:" PIN "\n"
			     "command_run_as = deploy\n"
			     "pam = hawser-2.local\n"
			     "reboot_command = systemctl kexec\n"
			     "commands_running = 7\n"
			     "commands_held = 1000\n"
			     "command_output = 1099511627776\n"
			     "commands_spool = 123456\n"
			     "witness = refuse\n"
			     "log_format = json\n"
			     "commands_work = /var/lib/work\n"
			     "download_max = 1000\n"
			     "download_ca = /etc/ssl/own.pem\n"
			     "download_proxy = http://proxy:3128\n"
			     "download_s3_host = minio:9000\n",
			     NULL),
		0);
	cr_assert_str_eq(c.command_run_as, "deploy");
	cr_assert_str_eq(c.pam, "hawser-2.local");
	cr_assert_str_eq(c.reboot_command, "systemctl kexec");
	cr_assert_eq(c.commands_running, 7);
	cr_assert_eq(c.commands_held, 1000);
	cr_assert_eq(c.command_output, INT64_C(1) << 40);
	cr_assert_eq(c.commands_spool, 123456);
	cr_assert_str_eq(c.witness, "refuse");
	cr_assert_str_eq(c.log_format, "json");
	cr_assert_str_eq(c.commands_work, "/var/lib/work");
	cr_assert_eq(c.download_max, 1000);
	cr_assert_str_eq(c.download_ca, "/etc/ssl/own.pem");
	cr_assert_str_eq(c.download_proxy, "http://proxy:3128");
	cr_assert_str_eq(c.download_s3_host, "minio:9000");
}

static void
refuse(const char *text, const char *sentence)
{
	struct node_config c;
	struct hw_err err = HW_ERR_INIT;

	cr_assert_lt(node_config_parse(&c, text, &err), 0);
	cr_assert_not_null(strstr(hw_err_text(&err), sentence), "%s", hw_err_text(&err));
}

Test(config, mistakes_are_named_by_their_line)
{
	refuse("relay = https://r#sha256:" PIN "\nrunas = x\n",
		"node.conf:2: no setting is called runas");
	refuse("\n\nnonsense\n", "node.conf:3: not KEY = VALUE: nonsense");
	refuse("relay = ftp://r\n", "node.conf:1: ");
	refuse("name = x\n", "node.conf has no relay");
	refuse("relay = https://r.example\n", "node.conf has no relay");
	refuse("commands_running = 0\n", "commands_running is a number from 1 to 1000, not 0");
	refuse("commands_held = 1001\n", "commands_held is a number");
	refuse("command_output = -1\n", "command_output is a number");
	refuse("command_output = 64M\n", "command_output is a number");
	refuse("command_output = 99999999999999999999\n", "command_output is a number");
	refuse("command_output =\n", "command_output is a number");
	refuse("witness = maybe\n", "witness is report or refuse, not maybe");
	refuse("log_format = xml\n", "log_format is text, logfmt or json, not xml");
	refuse("commands_spool = 0\n", "commands_spool is a number");
	refuse("download_max = much\n", "download_max is a number");
	refuse("commands_work = tmp\n", "commands_work is a path from the root, not tmp");
	refuse("download_ca =\n", "download_ca is a path from the root");
	refuse("run_as = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
		"run_as is too long");
}

Test(config, a_password_is_in_no_error_and_not_for_everybody)
{
	static const char *const wrong[] = {"proxy http://ann:s3cret@p:1",
		"proxy: http://ann:s3cret@p:1", "proxy: http://ann:s3cret=@p:1",
		"proxy = http://ann:s3cret@p", "proxy = ftp://ann:s3cret@p:1"};
	struct node_config c;
	struct stat st;
	char dir[] = "/tmp/config.XXXXXX";

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct hw_err err = HW_ERR_INIT;
		cr_assert_lt(node_config_parse(&c, wrong[i], &err), 0);
		cr_assert_null(strstr(hw_err_text(&err), "s3cr"), "%s", hw_err_text(&err));
	}
	cr_assert_eq(node_config_parse(&c, "relay = https://r.example:8443#sha256:" PIN "\n", NULL),
		0);
	cr_assert_not_null(mkdtemp(dir));
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(node_config_save(fd, &c, NULL), 0);
	cr_assert(fstatat(fd, NODE_CONF, &st, 0) == 0 && (st.st_mode & 0777) == 0644);
	cr_assert_eq(node_config_set_proxy(&c, "http://ann:s3cret@p:1", NULL), 0);
	cr_assert_eq(node_config_save(fd, &c, NULL), 0);
	cr_assert(fstatat(fd, NODE_CONF, &st, 0) == 0 && (st.st_mode & 0777) == 0640);
	cr_assert_eq(node_config_set_proxy(&c, "none", NULL), 0);
	strcpy(c.download_proxy, "http://ann:s3cret@p:1");
	cr_assert_eq(node_config_save(fd, &c, NULL), 0);
	cr_assert(fstatat(fd, NODE_CONF, &st, 0) == 0 && (st.st_mode & 0777) == 0640);
	unlinkat(fd, NODE_CONF, 0);
	close(fd);
	rmdir(dir);
}

Test(config, what_was_set_is_still_set_after_joining_anew)
{
	static const char text[] = "relay = https://r.example:8443#sha256:" PIN "\n"
				   "name = web-01\nrun_as = ann\ncommand_run_as = bob\npam = site\n"
				   "reboot_command = reboot -f\nagent_user = eve\n"
				   "commands_running = 3\ncommands_held = 7\n"
				   "command_output = 70000\ncommands_spool = 80000\n"
				   "commands_work = /srv/work\ndownload_max = 90000\n"
				   "download_ca = /etc/ca\ndownload_proxy = http://p:1\n"
				   "download_s3_host = s3.example\nwitness = refuse\n"
				   "log_format = json\nproxy = http://q:2\n";
	char dir[] = "/tmp/hawser-config-XXXXXX";
	struct node_config was, is;
	struct buf kept;

	cr_assert_eq(node_config_parse(&was, text, NULL), 0);
	cr_assert_not_null(mkdtemp(dir));
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(node_config_save(fd, &was, NULL), 0);
	buf_init(&kept, 1 << 16);
	cr_assert_eq(file_read(&kept, fd, NODE_CONF, NULL), 0);
	cr_assert_eq(node_config_parse(&is, buf_str(&kept), NULL), 0);
	cr_assert_eq(memcmp(&was, &is, sizeof(was)), 0, "%s", buf_str(&kept));
	buf_fini(&kept);
	unlinkat(fd, NODE_CONF, 0);
	close(fd);
	rmdir(dir);
}

Test(facts, os_release)
{
	struct arena *a = arena_new(4096);
	const char *text =
		"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n"
		"ODD=\"a \\\"b\\\" \\$c\"\nSINGLE='x\\y'\nEMPTY=\nID_LIKE=nothing";

	cr_assert_str_eq(facts_os_release(a, text, "ID"), "debian");
	cr_assert_str_eq(facts_os_release(a, text, "VERSION_ID"), "12");
	cr_assert_str_eq(facts_os_release(a, text, "PRETTY_NAME"),
		"Debian GNU/Linux 12 (bookworm)");
	cr_assert_str_eq(facts_os_release(a, text, "ODD"), "a \"b\" $c");
	cr_assert_str_eq(facts_os_release(a, text, "SINGLE"), "x\\y");
	cr_assert_str_eq(facts_os_release(a, text, "EMPTY"), "");
	cr_assert_str_eq(facts_os_release(a, text, "ID_LIKE"), "nothing");
	cr_assert_null(facts_os_release(a, text, "VERSION"));
	cr_assert_null(facts_os_release(a, "", "ID"));
	cr_assert_null(facts_os_release(a, "ID", "ID"));
	arena_free(a);
}

Test(facts, this_machine_has_some)
{
	struct arena *a = arena_new(65536);
	struct msg_update_instance_information_request f = {.agent_version = NULL};

	facts_collect(a, &f);
	cr_assert_not_null(f.kernel);
	cr_assert_not_null(f.architecture);
	cr_assert_not_null(f.computer_name);
	cr_assert_not_null(f.agent_version);
	cr_assert_eq(strlen(facts_boot_id(a)), 36);
	arena_free(a);
}

Test(status, both_forms)
{
	struct node_config c = {
		.id = "mi-1", .name = "we\"b", .relay = {.host = "r", .port = 443, .pin = PIN}
	      };
	struct node_status s = {
		.state = "waiting",
		.error = "no",
		.since = 1700000000 * USEC_PER_SEC,
		.commands = {.running = 2, .waiting = 3, .ended = 4}
	    };
	struct buf b;

	buf_init(&b, 4096);
	status_render(&b, &c, &s, true);
	cr_assert_not_null(strstr(buf_str(&b), "\"Name\": \"we\\\"b\""), "%s", buf_str(&b));
	cr_assert_not_null(strstr(buf_str(&b), "\"State\": \"waiting\""));
	cr_assert_null(strstr(buf_str(&b), "NextAttempt"));
	cr_assert_not_null(strstr(buf_str(&b),
		"\"Commands\": {\"Running\": 2, \"Waiting\": 3, \"Ended\": 4}}\n"));
	buf_reset(&b);
	status_render(&b, &c, &s, false);
	cr_assert_not_null(strstr(buf_str(&b),
		"commands     2 running, 3 waiting, 4 ended and not taken\n"));
	cr_assert_not_null(strstr(buf_str(&b), "since        2023-11-14T22:13:20.000Z\n"));
	buf_fini(&b);
}
