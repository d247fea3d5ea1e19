/* cli/v_list.c - list, vcpu-list, domid, domname, uptime. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/api.h"
#include "cli/dz.h"
#include "cli/show.h"

static bool is_dom0(const char *dom)
{
	return strcmp(dom, "0") == 0 || strcmp(dom, "Domain-0") == 0;
}

static void print_json(json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* What the operands name, or every domain: an array of Domains, by domid.
 * *ret_dom0: Domain-0 is among them. */
static int named_domains(struct dz *dz, const struct dz_args *a, json_object **ret, bool *ret_dom0)
{
	json_object *all, *d;
	int r = 0;

	if (!a->n) {
		*ret_dom0 = true;
		return api_domains(dz, "", ret);
	}
	*ret_dom0 = false;
	all = json_object_new_array();
	for (int i = 0; i < a->n && r == 0; i++) {
		d = NULL;
		if (is_dom0(a->operand[i])) {
			*ret_dom0 = true;
			continue;
		}
		r = api_domain(dz, a->operand[i], &d);
		if (r == 0)
			json_object_array_add(all, d);
	}
	if (r < 0)
		json_object_put(all);
	else
		*ret = all;
	return r;
}

static int by_domid(const void *a, const void *b)
{
	json_object *const *x = a, *const *y = b;
	int64_t i = api_int(*x, "domid", INT64_MAX), j = api_int(*y, "domid", INT64_MAX);

	return i < j ? -1 : i > j;
}

static int list_long(json_object *all)
{
	json_object *out = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(all); i++)
		if (api_int(json_object_array_get_idx(all, i), "domid", -1) >= 0)
			json_object_array_add(out, show_long(json_object_array_get_idx(all, i)));
	print_json(out);
	json_object_put(out);
	return EXIT_SUCCESS;
}

int verb_list(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	enum { LONG, VERBOSE, ALL, JSON };
	json_object *all = NULL, *host = NULL;
	bool dom0 = false;
	struct dz_args a;
	unsigned flags;
	int r;

	r = dz_args(v, argc, argv, &a);
	if (r < 0)
		return dz_args_exit(r);
	flags = a.val[VERBOSE] ? SHOW_VERBOSE : 0;
	r = named_domains(dz, &a, &all, &dom0);
	if (r == 0 && dom0 && !a.val[LONG] && !a.val[JSON])
		r = api_get(dz, "/v1/host", &host);
	if (r < 0) {
		json_object_put(all);
		return dz_fail(dz);
	}
	json_object_array_sort(all, by_domid);
	if (a.val[JSON]) {
		print_json(all);
	} else if (a.val[LONG]) {
		list_long(all);
	} else {
		show_list_head(stdout, flags);
		if (dom0)
			show_list_host(stdout, host, flags);
		for (size_t i = 0; i < json_object_array_length(all); i++) {
			json_object *d = json_object_array_get_idx(all, i);

			/* A definition that isn't running is none of xl's domains. */
			if (a.val[ALL] || a.n || api_int(d, "domid", -1) >= 0)
				show_list_row(stdout, d, flags);
		}
	}
	json_object_put(all);
	json_object_put(host);
	return EXIT_SUCCESS;
}

/* Puts each vCPU's time into d. */
static int add_vcpu_times(struct dz *dz, json_object *d)
{
	json_object *answer = NULL, *times = json_object_new_array(), *list;
	char target[API_TARGET_MAX];
	int r = api_domain_target(dz, api_str(d, "uuid", ""), "/vcpus", target);

	if (r == 0)
		r = api_get(dz, target, &answer);
	list = api_sub(answer, "vcpus");
	for (size_t i = 0;
	     json_object_is_type(list, json_type_array) && i < json_object_array_length(list);
	     i++) {
		json_object *v = json_object_array_get_idx(list, i);

		json_object_array_add(times, json_object_new_double(api_num(v, "cpu_seconds", 0)));
	}
	json_object_put(answer);
	json_object_object_add(d, "vcpu_seconds", times);
	return r == -ENOENT ? 0 : r; /* it ended just now */
}

int verb_vcpu_list(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	json_object *all = NULL, *host = NULL;
	bool dom0 = false;
	struct dz_args a;
	int r;

	r = dz_args(v, argc, argv, &a);
	if (r < 0)
		return dz_args_exit(r);
	r = named_domains(dz, &a, &all, &dom0);
	if (r == 0 && dom0)
		r = api_get(dz, "/v1/host", &host);
	if (r < 0) {
		json_object_put(all);
		return dz_fail(dz);
	}
	json_object_array_sort(all, by_domid);
	show_vcpu_head(stdout);
	if (dom0)
		show_vcpu_rows(stdout, NULL, host);
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		json_object *d = json_object_array_get_idx(all, i);

		if (api_int(d, "domid", -1) < 0)
			continue;
		r = add_vcpu_times(dz, d);
		if (r < 0)
			break;
		show_vcpu_rows(stdout, d, NULL);
	}
	json_object_put(all);
	json_object_put(host);
	return r < 0 ? dz_fail(dz) : EXIT_SUCCESS;
}

int verb_domid(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	json_object *d = NULL;
	struct dz_args a;
	int64_t domid = 0;
	int r;

	r = dz_args(v, argc, argv, &a);
	if (r < 0)
		return dz_args_exit(r);
	if (!is_dom0(a.operand[0])) {
		r = api_domain(dz, a.operand[0], &d);
		domid = api_int(d, "domid", -1);
		json_object_put(d);
		if (r == -ENOENT || (r == 0 && domid < 0)) {
			fprintf(stderr,
				"Can't get domid of domain name '%s', maybe this domain does not "
				"exist.\n",
				a.operand[0]);
			return EXIT_FAILURE;
		}
		if (r < 0)
			return dz_fail(dz);
	}
	printf("%lld\n", (long long)domid);
	return EXIT_SUCCESS;
}

int verb_domname(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	json_object *d = NULL;
	struct dz_args a;
	int r;

	r = dz_args(v, argc, argv, &a);
	if (r < 0)
		return dz_args_exit(r);
	if (strspn(a.operand[0], "0123456789") != strlen(a.operand[0])) {
		fprintf(stderr, "Invalid domain id '%s'.\n", a.operand[0]);
		return EXIT_FAILURE;
	}
	if (is_dom0(a.operand[0])) {
		puts("Domain-0");
		return EXIT_SUCCESS;
	}
	r = api_domain(dz, a.operand[0], &d);
	if (r == -ENOENT) {
		fprintf(stderr,
			"Can't get domain name of domain id '%s', maybe this domain does not "
			"exist.\n",
			a.operand[0]);
		return EXIT_FAILURE;
	}
	if (r < 0)
		return dz_fail(dz);
	puts(api_str(d, "name", ""));
	json_object_put(d);
	return EXIT_SUCCESS;
}

static int64_t host_uptime(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec;
}

int verb_uptime(struct dz *dz, const struct dz_verb *v, int argc, char **argv)
{
	json_object *all = NULL;
	bool dom0 = false;
	struct dz_args a;
	char text[32];
	int r;

	r = dz_args(v, argc, argv, &a);
	if (r < 0)
		return dz_args_exit(r);
	r = named_domains(dz, &a, &all, &dom0);
	if (r < 0)
		return dz_fail(dz);
	json_object_array_sort(all, by_domid);
	printf("%-33s %4s %s\n", "Name", "ID", "Uptime");
	if (dom0)
		printf("%-33s %4d %s\n", "Domain-0", 0, show_uptime(host_uptime(), text));
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		json_object *d = json_object_array_get_idx(all, i);
		int64_t from = show_time(api_str(d, "started_at", NULL));

		if (api_int(d, "domid", -1) >= 0 && from >= 0)
			printf("%-33s %4lld %s\n", api_str(d, "name", "?"),
			       (long long)api_int(d, "domid", -1),
			       show_uptime(time(NULL) > from ? time(NULL) - from : 0, text));
	}
	json_object_put(all);
	return EXIT_SUCCESS;
}
