/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "collector/gate/identity.h"
#include "proto/report.h"

#define SITES_MAX 65536

/* Addresses are kept as IPv6; IPv4 as ::ffff:a.b.c.d, its prefix longer by 96. */
struct site_rule {
	uint8_t net[16];
	unsigned prefix;
	char *site;
};

struct identity {
	uint8_t key[16];
	enum label_trust trust;
	struct site_rule *rules; /* longest prefix first */
	size_t n_rules;
};

/* ---- the key ---- */

static int
write_key(const char *path, const uint8_t key[16])
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), ok;

	if (fd == -1)
		return -1;
	ok = write(fd, key, 16) == 16 && fsync(fd) == 0;
	if (close(fd) == -1 || !ok) {
		unlink(path);
		return -1;
	}
	return 0;
}

static int
load_key(const char *path, uint8_t key[16], char *err, size_t err_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n;

	if (fd == -1 && errno == ENOENT) {
		random_bytes(key, 16);
		if (write_key(path, key) == -1) {
			snprintf(err, err_size, "cannot write host key %s: %s", path, strerror(errno));
			return -1;
		}
		return 0;
	}
	if (fd == -1) {
		snprintf(err, err_size, "cannot read host key %s: %s", path, strerror(errno));
		return -1;
	}
	n = read(fd, key, 16);
	if (n != 16 || fstat(fd, &st) == -1 || st.st_size != 16) {
		snprintf(err, err_size,
			 "host key %s is damaged: restore it from a backup; a new key makes every host a stranger",
			 path);
		close(fd);
		return -1;
	}
	if (st.st_mode & (S_IRWXG | S_IRWXO)) {
		snprintf(err, err_size, "host key %s is open to others: chmod 600 it", path);
		close(fd);
		return -1;
	}
	close(fd);
	return 0;
}

/* ---- sites ---- */

static bool
to_v6(const struct sockaddr *sa, uint8_t out[16])
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	if (sa != NULL && sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		memcpy(out, mapped, 12);
		memcpy(out + 12, &in.sin_addr, 4);
		return true;
	}
	if (sa != NULL && sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		memcpy(out, &in6.sin6_addr, 16);
		return true;
	}
	return false;
}

static bool
in_net(const uint8_t addr[16], const struct site_rule *r)
{
	unsigned whole = r->prefix / 8, rest = r->prefix % 8;

	if (memcmp(addr, r->net, whole) != 0)
		return false;
	return rest == 0 || (addr[whole] ^ r->net[whole]) >> (8 - rest) == 0;
}

static bool
parse_cidr(char *text, struct site_rule *out)
{
	char *slash = strchr(text, '/'), *end = NULL;
	struct in_addr v4;
	struct in6_addr v6;
	unsigned long prefix;

	if (slash != NULL)
		*slash++ = '\0';
	prefix = slash != NULL ? strtoul(slash, &end, 10) : 999;
	if (slash != NULL && (end == slash || *end != '\0'))
		return false;
	if (inet_pton(AF_INET, text, &v4) == 1) {
		struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = v4 };

		prefix = slash != NULL ? prefix : 32;
		out->prefix = (unsigned)prefix + 96;
		return prefix <= 32 && to_v6((struct sockaddr *)(void *)&sa, out->net);
	}
	if (inet_pton(AF_INET6, text, &v6) != 1)
		return false;
	memcpy(out->net, &v6, 16);
	prefix = slash != NULL ? prefix : 128;
	out->prefix = (unsigned)prefix;
	return prefix <= 128;
}

static int
longest_first(const void *a, const void *b)
{
	const struct site_rule *x = a, *y = b;

	return (x->prefix < y->prefix) - (x->prefix > y->prefix);
}

static int
parse_site_line(struct identity *id, char *line)
{
	char *cidr, *site, *save = NULL;
	struct site_rule *grown, r = { 0 };

	line[strcspn(line, "#\r\n")] = '\0';
	cidr = strtok_r(line, " \t", &save);
	if (cidr == NULL)
		return 0;
	site = strtok_r(NULL, " \t", &save);
	if (site == NULL || strtok_r(NULL, " \t", &save) != NULL || strlen(site) >= SITE_MAX ||
	    !text_is_utf8(text_of(site)) || id->n_rules >= SITES_MAX || !parse_cidr(cidr, &r))
		return -1;
	grown = realloc(id->rules, (id->n_rules + 1) * sizeof(*grown));
	if (grown == NULL)
		return -1;
	id->rules = grown;
	if ((r.site = strdup(site)) == NULL)
		return -1;
	id->rules[id->n_rules++] = r;
	return 0;
}

static int
load_sites(struct identity *id, const char *path, char *err, size_t err_size)
{
	FILE *f = fopen(path, "re");
	char line[1024];
	int n = 0;

	if (f == NULL) {
		snprintf(err, err_size, "cannot read site map %s: %s", path, strerror(errno));
		return -1;
	}
	while (fgets(line, sizeof(line), f) != NULL) {
		n++;
		if (parse_site_line(id, line) == -1) {
			snprintf(err, err_size, "%s:%d: not \"CIDR site\", such as \"10.1.0.0/16 berlin\"", path, n);
			fclose(f);
			return -1;
		}
	}
	fclose(f);
	if (id->n_rules > 0)
		qsort(id->rules, id->n_rules, sizeof(id->rules[0]), longest_first);
	return 0;
}

struct identity *
identity_new(const char *key_path, const char *site_map, enum label_trust trust, char *err, size_t err_size)
{
	struct identity *id = calloc(1, sizeof(*id));

	if (id == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	id->trust = trust;
	if (load_key(key_path, id->key, err, err_size) == -1 ||
	    (site_map[0] != '\0' && load_sites(id, site_map, err, err_size) == -1)) {
		identity_free(id);
		return NULL;
	}
	return id;
}

void
identity_free(struct identity *id)
{
	if (id == NULL)
		return;
	for (size_t i = 0; i < id->n_rules; i++)
		free(id->rules[i].site);
	free(id->rules);
	free(id);
}

/* ---- hashes ---- */

static uint64_t
never_zero(uint64_t h)
{
	return h != 0 ? h : 1;
}

uint64_t
identity_host(const struct identity *id, uint16_t tenant, struct text host)
{
	uint8_t buf[2 + HOST_ID_MAX];
	size_t n = host.len < HOST_ID_MAX ? host.len : HOST_ID_MAX;

	buf[0] = (uint8_t)tenant;
	buf[1] = (uint8_t)(tenant >> 8);
	memcpy(buf + 2, host.at, n);
	return never_zero(siphash64(id->key, buf, n + 2));
}

uint64_t
identity_api_host(const struct identity *id, uint16_t tenant, struct text host)
{
	uint8_t raw[8];
	uint64_t h = 0;

	if (host.len == 18 && memcmp(host.at, "h:", 2) == 0 && hex_decode(host.at + 2, 16, raw) == 0) {
		for (int i = 0; i < 8; i++)
			h = h << 8 | raw[i];
		return never_zero(h);
	}
	return identity_host(id, tenant, host);
}

uint64_t
identity_hash(const struct identity *id, const char *what, struct text t)
{
	uint8_t key[16];

	/* One key a purpose, so that equal texts of different kinds do not meet. */
	memcpy(key, id->key, 16);
	for (size_t i = 0; what[i] != '\0'; i++)
		key[i % 16] ^= (uint8_t)what[i];
	return never_zero(siphash64(key, t.at, t.len));
}

static struct text
site_by_map(const struct identity *id, const uint8_t addr[16])
{
	for (size_t i = 0; i < id->n_rules; i++)
		if (in_net(addr, &id->rules[i]))
			return text_of(id->rules[i].site);
	return (struct text){ NULL, 0 };
}

static struct text
site_by_network(const uint8_t addr[16], char *buf)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	char ip[INET6_ADDRSTRLEN];
	uint8_t net[16] = { 0 };
	int n;

	if (memcmp(addr, mapped, 12) == 0)
		n = snprintf(buf, SITE_MAX, "%u.%u.%u.0/24", addr[12], addr[13], addr[14]);
	else {
		memcpy(net, addr, 6);
		inet_ntop(AF_INET6, net, ip, sizeof(ip));
		n = snprintf(buf, SITE_MAX, "%s/48", ip);
	}
	return (struct text){ buf, (size_t)n };
}

struct text
identity_site(const struct identity *id, const struct sockaddr *peer, bool authenticated,
	      const struct report_pair *labels, uint32_t n_labels, char *buf)
{
	uint8_t addr[16];
	bool known = to_v6(peer, addr);
	struct text site = { NULL, 0 };

	if (known)
		site = site_by_map(id, addr);
	if (site.len > 0)
		return site;
	if (id->trust == LABELS_ALWAYS || (id->trust == LABELS_AUTHENTICATED && authenticated))
		for (uint32_t i = 0; i < n_labels; i++)
			if (text_equal(labels[i].name, TEXT("site")) && labels[i].value.len > 0 &&
			    labels[i].value.len < SITE_MAX) {
				memcpy(buf, labels[i].value.at, labels[i].value.len);
				return (struct text){ buf, labels[i].value.len };
			}
	if (known)
		return site_by_network(addr, buf);
	memcpy(buf, "local", 5); /* a unix socket, or a test's pair */
	return (struct text){ buf, 5 };
}

uint32_t
identity_relay(const struct identity *id, const struct sockaddr *peer)
{
	static const uint8_t mapped[13] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127 };
	static const uint8_t loopback[16] = { [15] = 1 };
	uint8_t addr[16];
	uint32_t hash;

	if (!to_v6(peer, addr) || memcmp(addr, mapped, sizeof(mapped)) == 0 ||
	    memcmp(addr, loopback, sizeof(loopback)) == 0)
		return 0;
	hash = (uint32_t)identity_hash(id, "relay", (struct text){ (const char *)addr, sizeof(addr) });
	return hash != 0 ? hash : 1;
}
