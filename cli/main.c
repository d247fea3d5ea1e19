/* cli/main.c - dz: xl's verbs for a host run by domzero; a client of apid only.
 *
 * The table of verbs below is all there is: help, dispatch and completion come
 * from it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/dz.h"
#include "daemons/paths.h"

/* clang-format off */
static const struct dz_verb verbs[] = {
	{ "create", verb_create, "FILE [key=value]...", "Start a guest from an xl.cfg file",
	  { { 'p', "paused", NULL, "leave it paused" },
	    { 'c', "console", NULL, "attach to its console" },
	    { 'q', "quiet", NULL, "say nothing but errors" },
	    { 'n', "dryrun", NULL, "show what would be created, as JSON" },
	    { 'I', "ignore-devices", NULL, "start without disks and network interfaces" },
	    { 0, "persistent", NULL, "keep the definition when the guest ends" },
	    { 'E', "engine", "NAME", "auto, soft or kvm" } }, 1, -1 },
	{ "list", verb_list, "[DOM]...", "List domains",
	  { { 'l', "long", NULL, "all about them, as JSON" },
	    { 'v', "verbose", NULL, "with UUIDs" },
	    { 'a', "all", NULL, "definitions that are not running too" },
	    { 'j', "json", NULL, "the API's objects" } }, 0, -1 },
	{ "console", verb_console, "DOM", "Attach to a guest's console; Ctrl-] leaves it",
	  { { 't', "type", "TYPE", "pv" },
	    { 'n', "num", "N", "which console; 0" },
	    { 'e', "escape", "CHAR", "another way out, as ^A" },
	    { 'r', "read-only", NULL, "only watch" },
	    { 'f', "force", NULL, "take the keyboard from another viewer" },
	    { 's', "scrollback", "BYTES", "begin with that much earlier output" } }, 1, 1 },
	{ "shutdown", verb_shutdown, "DOM | -a", "Ask a guest to power off",
	  { { 'w', "wait", NULL, "until it has" },
	    { 'a', "all", NULL, "every guest" },
	    { 'F', "fallback", NULL, "for xl's sake; PVH guests have no power button" },
	    { 't', "timeout", "SECONDS", "wait no longer than that" },
	    { 0, "force", NULL, "destroy it when the time is over" } }, 0, 1 },
	{ "reboot", verb_reboot, "DOM | -a", "Ask a guest to reboot",
	  { { 'w', "wait", NULL, "until it has" },
	    { 'a', "all", NULL, "every guest" },
	    { 'F', "fallback", NULL, "for xl's sake; PVH guests have no reset button" },
	    { 't', "timeout", "SECONDS", "wait no longer than that" },
	    { 0, "force", NULL, "start it anew when the time is over" } }, 0, 1 },
	{ "pause", verb_pause, "DOM", "Stop a guest's vCPUs", { { 0 } }, 1, 1 },
	{ "unpause", verb_unpause, "DOM", "Let a paused guest run", { { 0 } }, 1, 1 },
	{ "destroy", verb_destroy, "DOM", "End a guest at once",
	  { { 'f', "force", NULL, "for xl's sake" } }, 1, 1 },
	{ "info", verb_info, "", "Show the host", { { 0 } }, 0, 0 },
	{ "dmesg", verb_dmesg, "", "Show the hypervisor's messages", { { 0 } }, 0, 0 },
	{ "domid", verb_domid, "NAME", "Turn a name into a domid", { { 0 } }, 1, 1 },
	{ "domname", verb_domname, "DOMID", "Turn a domid into a name", { { 0 } }, 1, 1 },
	{ "rename", verb_rename, "DOM NAME", "Give a domain another name", { { 0 } }, 2, 2 },
	{ "uptime", verb_uptime, "[DOM]...", "Show how long domains run", { { 0 } }, 0, -1 },
	{ "vcpu-list", verb_vcpu_list, "[DOM]...", "List vCPUs", { { 0 } }, 0, -1 },
	{ "vcpu-set", verb_vcpu_set, "DOM N", "Set the number of online vCPUs", { { 0 } }, 2, 2 },
	{ "mem-set", verb_mem_set, "DOM SIZE", "Set a guest's memory target", { { 0 } }, 2, 2 },
	{ "mem-max", verb_mem_max, "DOM SIZE", "Set the most memory a guest may get", { { 0 } }, 2, 2 },
	{ "sysrq", verb_sysrq, "DOM KEY", "Send a magic SysRq key", { { 0 } }, 2, 2 },
	{ "trigger", verb_trigger, "DOM nmi|debug", "Inject an NMI or the debug interrupt", { { 0 } }, 2, 2 },
	{ "block-attach", verb_block_attach, "DOM SPEC...", "Give a running guest one more disk",
	  { { 0 } }, 2, -1 },
	{ "block-detach", verb_block_detach, "DOM VDEV", "Take a disk away from a running guest",
	  { { 0, "force", NULL, "even if the guest does not let go of it" } }, 2, 2 },
	{ "network-attach", verb_network_attach, "DOM [key=value]...", "Give a running guest one more network interface",
	  { { 0 } }, 1, -1 },
	{ "network-detach", verb_network_detach, "DOM DEVID|MAC", "Take a network interface away from a running guest",
	  { { 0, "force", NULL, "even if the guest does not let go of it" } }, 2, 2 },
	{ "block-list", verb_block_list, "DOM", "List a domain's disks", { { 0 } }, 1, 1 },
	{ "network-list", verb_network_list, "DOM", "List a domain's network interfaces", { { 0 } }, 1, 1 },
	{ "events", verb_events, "[DOM]", "Show what happens, until interrupted",
	  { { 'j', "json", NULL, "one JSON object a line" } }, 0, 1 },
	{ "define", verb_define, "FILE [key=value]...", "Store a guest's definition; prints its UUID",
	  { { 'I', "ignore-devices", NULL, "it starts without disks and network interfaces" } }, 1, -1 },
	{ "start", verb_start, "DOM", "Start a defined guest",
	  { { 'p', "paused", NULL, "leave it paused" },
	    { 'c', "console", NULL, "attach to its console" } }, 1, 1 },
	{ "undefine", verb_undefine, "DOM", "Remove the definition of a guest that isn't running",
	  { { 0 } }, 1, 1 },
};
/* clang-format on */
enum { NVERBS = sizeof(verbs) / sizeof(verbs[0]) };

static const struct dz_verb *find(const char *name)
{
	for (int i = 0; i < NVERBS; i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static int help(const char *about)
{
	const struct dz_verb *v = about ? find(about) : NULL;

	if (about && !v) {
		fprintf(stderr, "dz: there is no command '%s' (dz help lists them)\n", about);
		return 2;
	}
	if (v) {
		dz_usage(v);
		return EXIT_SUCCESS;
	}
	puts("usage: dz [--api=WHERE] COMMAND [options] [arguments]\n\n"
	     "DOM is a domain's name, domid or UUID.  WHERE is apid's socket or ADDRESS:PORT\n"
	     "($DOMZERO_API; the socket of this host otherwise).\n");
	for (int i = 0; i < NVERBS; i++)
		printf("  %-14s %-20s %s\n", verbs[i].name, verbs[i].operands, verbs[i].help);
	puts("  help           [COMMAND]            Tell more about a command");
	return EXIT_SUCCESS;
}

/* For the shell's completion: verbs, or a verb's long options. */
static int complete(const char *name)
{
	const struct dz_verb *v = name ? find(name) : NULL;

	if (!name)
		for (int i = 0; i < NVERBS; i++)
			puts(verbs[i].name);
	for (int i = 0; v && i < DZ_OPTS_MAX && v->opts[i].name; i++)
		printf("--%s\n", v->opts[i].name);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const char *env = getenv("DOMZERO_API");
	struct dz dz = { .where = env && *env ? env : NULL };
	const struct dz_verb *v;
	char sock[108];
	int at = 1, r;

	for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
		if (strncmp(argv[at], "--api=", 6) == 0) {
			dz.where = argv[at] + 6;
		} else if (strcmp(argv[at], "--version") == 0) {
			puts("domzero " DZ_VERSION);
			return EXIT_SUCCESS;
		} else if (strcmp(argv[at], "--help") == 0) {
			return help(NULL);
		} else {
			fprintf(stderr, "dz: unknown option '%s' (dz help)\n", argv[at]);
			return 2;
		}
	}
	if (at == argc) {
		(void)help(NULL); /* and the status says that nothing was done */
		return 2;
	}
	if (strcmp(argv[at], "help") == 0)
		return help(argv[at + 1]);
	if (strcmp(argv[at], "complete") == 0)
		return complete(argv[at + 1]);
	v = find(argv[at]);
	if (!v) {
		fprintf(stderr, "dz: there is no command '%s' (dz help lists them)\n", argv[at]);
		return 2;
	}
	if (!dz.where)
		dz.where = path_apid_sock(sock);
	if (!dz.where) {
		fprintf(stderr, "dz: the path of DOMZERO_RUN_DIR is too long for a socket\n");
		return EXIT_FAILURE;
	}
	r = v->run(&dz, v, argc - at, argv + at);
	if (fflush(stdout) != 0 && r == EXIT_SUCCESS) {
		fprintf(stderr, "dz: the output could not be written\n");
		r = EXIT_FAILURE;
	}
	return r;
}
