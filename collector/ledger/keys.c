/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "base/hash.h"
#include "collector/ledger/keys.h"
#include "collector/ledger/mem.h"

#define SHIFT        8
#define EVICT_AGE_US (7ll * 86400 * 1000000) /* younger keys never give way */
#define EVICT_LOOKS  64
#define CLAIMS_MAX   (1u << 21)
#define DEFAULT_MAX  1000000u

/* 128 bits of a raw claim stand for it. */
struct claim_row {
	uint64_t h1, h2;
	struct rungs rungs;
	uint32_t life[4];
};

void
keys_init(struct keys *k)
{
	static const struct signature_key none;

	*k = (struct keys){ .max_exact = DEFAULT_MAX, .seed = 0x6661756c746c696eull };
	table_init(&k->rows, sizeof(struct key), SHIFT, chunk_id(CHUNK_KEYS, 0, 0), false);
	fingerprints_init(k);
	for (int r = RUNG_KERNEL; r <= RUNG_ANY; r++)
		k->class_ids[r] = signature_hash(&none, (enum signature_rung)r);
}

static void
clear(struct key *key)
{
	hostset_fini(&key->hosts);
	hostset_fini(&key->sites);
	free(key->trend);
	free(key->text);
}

void
keys_fini(struct keys *k)
{
	for (uint64_t i = 0; i < k->rows.n; i++)
		clear(key_at(k, (uint32_t)i));
	table_fini(&k->rows);
	fingerprints_fini(k);
	free(k->slots);
	free(k->claims);
}

/* ---- index ---- */

static uint32_t
home(const struct keys *k, uint16_t tenant, uint8_t rung, uint64_t id)
{
	return (uint32_t)key_print(tenant, rung, id) & (k->n_slots - 1);
}

static uint32_t
home_of(const struct keys *k, uint32_t no)
{
	const struct key *key = key_at(k, no);

	return home(k, key->tenant, key->rung, key->id);
}

static void
place(struct keys *k, uint32_t no)
{
	uint32_t i = home_of(k, no);

	while (k->slots[i] != 0)
		i = (i + 1) & (k->n_slots - 1);
	k->slots[i] = no + 1;
}

static void
unplace(struct keys *k, uint32_t no)
{
	uint32_t mask = k->n_slots - 1, i = home_of(k, no), hole;

	while (k->slots[i] != no + 1)
		i = (i + 1) & mask;
	for (hole = i;;) {
		i = (i + 1) & mask;
		if (k->slots[i] == 0)
			break;
		if (((i - home_of(k, k->slots[i] - 1)) & mask) >= ((i - hole) & mask)) {
			k->slots[hole] = k->slots[i];
			hole = i;
		}
	}
	k->slots[hole] = 0;
}

static void
index_room(struct keys *k, uint64_t n)
{
	if (n * 4 <= k->n_slots * 3ull)
		return;
	free(k->slots);
	if (k->n_slots == 0)
		k->n_slots = 256;
	while (n * 4 > k->n_slots * 3ull)
		k->n_slots *= 2;
	k->slots = mem_zero(k->n_slots, sizeof(*k->slots));
	for (uint64_t i = 0; i < k->rows.n; i++)
		place(k, (uint32_t)i);
}

uint32_t
keys_find(const struct keys *k, uint16_t tenant, uint8_t rung, uint64_t id)
{
	if (k->n_slots == 0)
		return KEY_NONE;
	for (uint32_t i = home(k, tenant, rung, id); k->slots[i] != 0; i = (i + 1) & (k->n_slots - 1)) {
		const struct key *key = key_at(k, k->slots[i] - 1);

		if (key->id == id && key->rung == rung && key->tenant == tenant)
			return k->slots[i] - 1;
	}
	return KEY_NONE;
}

/* ---- birth and giving way ---- */

static bool
is_exact(uint8_t rung)
{
	return rung == RUNG_KEY || rung == RUNG_BUILD || rung == RUNG_STOP || rung == RUNG_FUNCTION;
}

static bool
may_go(const struct key *key, int64_t now_us)
{
	return is_exact(key->rung) && key->pins == 0 && key->last_us + EVICT_AGE_US < now_us &&
	       key->hosts.n_blocks == 0 && key->sites.n_blocks == 0;
}

/* A row that may be used again, or KEY_NONE: an old exact key becomes a fingerprint. */
static uint32_t
evict(struct keys *k, struct snap *s, int64_t now_us)
{
	for (unsigned i = 0; i < EVICT_LOOKS; i++) {
		uint32_t no = k->hand, life;
		struct key *key = key_at(k, no);

		k->hand = no + 1 < k->rows.n ? no + 1 : 0;
		if (!may_go(key, now_us))
			continue;
		if (!fingerprint_add(k, s, key_print(key->tenant, key->rung, key->id)))
			return KEY_NONE;
		key = key_edit(k, s, no);
		unplace(k, no);
		k->n_exact--;
		k->n_signatures -= key->rung != RUNG_BUILD;
		life = key->life;
		clear(key);
		memset(key, 0, sizeof(*key));
		key->life = life + 1;
		return no;
	}
	return KEY_NONE;
}

static void
set_texts(struct key *key, const struct text t[4])
{
	size_t n = 0, at = 0;

	for (int i = 0; i < 4; i++)
		n += t[i].len;
	key->text = mem_zero(n, 1);
	for (int i = 0; i < 4; i++) {
		if (t[i].len > 0)
			memcpy(key->text + at, t[i].at, t[i].len);
		key->text_len[i] = (uint16_t)t[i].len;
		at += t[i].len;
	}
}

/* The key, made when missing; KEY_NONE when there is no room for it. */
static uint32_t
obtain(struct keys *k, struct snap *s, const struct key_birth *b, uint8_t rung, uint64_t id, const struct key *like,
       const struct text texts[4])
{
	uint32_t no = keys_find(k, b->tenant, rung, id);
	uint64_t print;
	bool seen_before;
	struct key *key;

	if (no != KEY_NONE)
		return no;
	print = key_print(b->tenant, rung, id);
	seen_before = fingerprint_has(k, print) || k->n_fingerprints >= FINGERPRINT_MAX;
	if (is_exact(rung) && k->n_exact >= k->max_exact) {
		no = evict(k, s, b->now_us);
		if (no == KEY_NONE) {
			fingerprint_add(k, s, print);
			k->over_cap++;
			return KEY_NONE;
		}
		key = key_at(k, no);
	} else {
		uint64_t row;

		index_room(k, k->rows.n + 1);
		key = table_add(&k->rows, s, &row);
		no = (uint32_t)row;
	}
	key->id = id;
	key->tenant = b->tenant;
	key->rung = rung;
	key->offset = like->offset;
	key->reason = like->reason;
	key->module_id_key = like->module_id_key;
	key->flags = seen_before ? KEY_OLD : 0;
	key->first_pos = b->pos;
	key->first_us = b->now_us;
	key->last_us = b->now_us;
	set_texts(key, texts);
	k->n_exact += is_exact(rung);
	k->n_signatures += rung == RUNG_KEY || rung == RUNG_STOP;
	place(k, no);
	b->born(b->arg, no, seen_before);
	return no;
}

static void
obtain_place(struct keys *k, struct snap *s, const struct signature_key *place_, struct text reason,
	     const struct key_birth *b, struct rungs *out)
{
	char name[MODULE_NAME_MAX + 1], id[MODULE_ID_MAX + 1];
	struct text module = { name, module_name_normalise(place_->module, place_->module_id, name, sizeof(name)) };
	struct text build = { id, module_id_normalise(place_->module_id, id, sizeof(id)) };
	struct key like = { .offset = place_->offset, .reason = (uint8_t)place_->reason };

	*out = (struct rungs){ KEY_NONE, KEY_NONE, KEY_NONE, KEY_NONE };
	if (module.len == 0)
		return;
	like.module_id_key = signature_hash(place_, RUNG_MODULE);
	out->key = obtain(k, s, b, RUNG_KEY, signature_hash(place_, RUNG_KEY), &like,
			  (struct text[4]){ module, build, reason, TEXT("") });
	like.offset = 0;
	like.reason = 0;
	module.len = module_name_bare(module);
	if (build.len > 0)
		out->build = obtain(k, s, b, RUNG_BUILD, signature_hash(place_, RUNG_BUILD), &like,
				    (struct text[4]){ module, build, TEXT(""), TEXT("") });
	out->module = obtain(k, s, b, RUNG_MODULE, like.module_id_key, &like,
			     (struct text[4]){ module, TEXT(""), TEXT(""), TEXT("") });
}

void
keys_of_place(struct keys *k, struct snap *s, const struct signature_key *where, const struct key_birth *b,
	      struct rungs *out)
{
	obtain_place(k, s, where, text_of(reason_class_name(where->reason)), b, out);
}

static void
obtain_claim(struct keys *k, struct snap *s, const struct report *r, const struct key_birth *b, struct rungs *out)
{
	char title[KEY_TITLE_MAX];
	struct key like = { 0 };
	struct claim claim;

	claim_of(r, &claim);
	*out = (struct rungs){ KEY_NONE, KEY_NONE, KEY_NONE, KEY_NONE };
	if (claim.rung == RUNG_KEY)
		obtain_place(k, s, &claim.key, r->reason, b, out);
	if (claim.rung != RUNG_STOP)
		return;
	like.offset = claim.stop.code;
	like.reason = (uint8_t)claim.key.reason;
	out->stop =
		obtain(k, s, b, RUNG_STOP, claim_hash(&claim), &like,
		       (struct text[4]){
			       TEXT(""), TEXT(""), r->reason, { title, claim_title(&claim, title, sizeof(title)) } });
}

uint32_t
keys_of_function(struct keys *k, struct snap *s, const struct function_key *where, const struct key_birth *b)
{
	char title[KEY_TITLE_MAX];
	struct key like = { 0 };
	struct text module = where->module;

	if (module.len > MODULE_NAME_MAX || where->function.len == 0)
		return KEY_NONE;
	module.len = module_name_bare(module);
	return obtain(
		k, s, b, RUNG_FUNCTION, signature_function_hash(where), &like,
		(struct text[4]){
			module, TEXT(""), TEXT(""), { title, signature_function_title(where, title, sizeof(title)) } });
}

uint32_t
keys_class(struct keys *k, struct snap *s, enum signature_rung rung, const struct key_birth *b)
{
	static const struct key like;

	return obtain(k, s, b, (uint8_t)rung, k->class_ids[rung], &like,
		      (struct text[4]){ TEXT(""), TEXT(""), TEXT(""), TEXT("") });
}

/* ---- the claim cache ---- */

static uint8_t *
add_bytes(uint8_t *p, const void *data, size_t len)
{
	memcpy(p, &len, 4);
	if (len > 0)
		memcpy(p + 4, data, len);
	return p + 4 + len;
}

struct claim_hash
keys_hash_claim(const struct keys *k, uint16_t tenant, const struct report *r)
{
	uint8_t buf[MODULE_MAX + MODULE_ID_MAX + REASON_MAX + TEXT_NAME_MAX + 128], *p = buf;
	uint64_t head[3] = { (uint64_t)tenant << 48 | (uint64_t)r->kind << 40 | (uint64_t)r->n_params << 32 |
				     r->reason_code,
			     r->offset, 0 };
	struct claim_hash h;

	p = add_bytes(p, head, sizeof(head));
	p = add_bytes(p, r->module.at, r->module.len);
	p = add_bytes(p, r->module_id.at, r->module_id.len);
	p = add_bytes(p, r->reason.at, r->reason.len);
	if (r->kind == REPORT_KERNEL) {
		p = add_bytes(p, r->params, r->n_params * sizeof(r->params[0]));
		p = add_bytes(p, r->os_build.at, r->os_build.len);
	}
	h = (struct claim_hash){ hash64(k->seed, buf, (size_t)(p - buf)), hash64(~k->seed, buf, (size_t)(p - buf)) };
	h.h1 += h.h1 == 0; /* 0 is an empty slot */
	return h;
}

static uint32_t *
rung_no(struct rungs *g, int i)
{
	return i == 0 ? &g->key : i == 1 ? &g->build : i == 2 ? &g->module : &g->stop;
}

static bool
still_valid(const struct keys *k, const struct claim_row *row)
{
	struct rungs g = row->rungs;

	for (int i = 0; i < 4; i++)
		if (*rung_no(&g, i) != KEY_NONE && key_at(k, *rung_no(&g, i))->life != row->life[i])
			return false;
	return true;
}

static struct claim_row *
claim_slot(const struct keys *k, struct claim_hash h)
{
	uint32_t i = (uint32_t)h.h1 & (k->claim_slots - 1);

	while (k->claims[i].h1 != 0 && (k->claims[i].h1 != h.h1 || k->claims[i].h2 != h.h2))
		i = (i + 1) & (k->claim_slots - 1);
	return &k->claims[i];
}

static void
claims_room(struct keys *k)
{
	struct claim_row *old = k->claims;
	uint32_t n = k->claim_slots;

	if ((k->n_claims + 1) * 3ull <= k->claim_slots * 2ull)
		return;
	if (k->n_claims >= CLAIMS_MAX) {
		memset(k->claims, 0, n * sizeof(*k->claims));
		k->n_claims = 0;
		return;
	}
	k->claim_slots = n > 0 ? n * 2 : 1024;
	k->claims = mem_zero(k->claim_slots, sizeof(*k->claims));
	for (uint32_t i = 0; i < n; i++)
		if (old[i].h1 != 0)
			*claim_slot(k, (struct claim_hash){ old[i].h1, old[i].h2 }) = old[i];
	free(old);
}

void
keys_prefetch_claim(const struct keys *k, struct claim_hash h)
{
	if (k->claim_slots > 0)
		__builtin_prefetch(&k->claims[(uint32_t)h.h1 & (k->claim_slots - 1)]);
}

bool
keys_guess(const struct keys *k, struct claim_hash h, struct rungs *out)
{
	const struct claim_row *row = k->claim_slots > 0 ? claim_slot(k, h) : NULL;

	if (row == NULL || row->h1 == 0)
		return false;
	*out = row->rungs;
	return true;
}

void
keys_of_report(struct keys *k, struct snap *s, const struct report *r, struct claim_hash h, const struct key_birth *b,
	       struct rungs *out)
{
	struct claim_row *row;
	uint64_t over = k->over_cap;

	claims_room(k);
	row = claim_slot(k, h);
	if (row->h1 != 0 && still_valid(k, row)) {
		*out = row->rungs;
		return;
	}
	obtain_claim(k, s, r, b, out);
	if (over != k->over_cap)
		return; /* tried again each time: there may be room later */
	k->n_claims += row->h1 == 0;
	*row = (struct claim_row){ h.h1, h.h2, *out, { 0 } };
	for (int i = 0; i < 4; i++)
		if (*rung_no(out, i) != KEY_NONE)
			row->life[i] = key_at(k, *rung_no(out, i))->life;
}

/* ---- counting ---- */

static void
count_hour(struct key *key, int64_t now_us, uint32_t crashes)
{
	uint32_t hour = (uint32_t)(now_us / 3600000000ll);
	struct key_trend *t = key->trend;

	if (t == NULL && key->reports == 0)
		return; /* the first report's hour is first_us */
	if (t == NULL) {
		t = key->trend = mem_zero(1, sizeof(*t));
		t->hour = (uint32_t)(key->first_us / 3600000000ll);
		t->n[0] = (uint32_t)key->crashes;
	}
	if (hour > t->hour) {
		uint32_t by = hour - t->hour < KEY_HOURS ? hour - t->hour : KEY_HOURS;

		memmove(t->n + by, t->n, (KEY_HOURS - by) * sizeof(*t->n));
		memset(t->n, 0, by * sizeof(*t->n));
		t->hour = hour;
	}
	t->n[0] = t->n[0] + crashes < t->n[0] ? UINT32_MAX : t->n[0] + crashes;
}

uint32_t
key_hour(const struct key *key, int64_t now_us, unsigned i)
{
	uint32_t want = (uint32_t)(now_us / 3600000000ll) - i;

	if (key->trend == NULL)
		return want == (uint32_t)(key->first_us / 3600000000ll) ? (uint32_t)key->crashes : 0;
	return want <= key->trend->hour && key->trend->hour - want < KEY_HOURS ? key->trend->n[key->trend->hour - want]
									       : 0;
}

static void
add_version(struct key *key, uint16_t version)
{
	for (int i = 0; i < key->n_versions; i++)
		if (key->versions[i] == version)
			return;
	if (version != 0 && key->n_versions < KEY_VERS)
		key->versions[key->n_versions++] = version;
}

bool
keys_vote(struct keys *k, struct snap *s, uint32_t no, const struct key_vote *v)
{
	struct key *key = key_edit(k, s, no);

	count_hour(key, v->now_us, v->crashes);
	key->reports++;
	key->crashes += v->crashes;
	key->last_pos = v->pos;
	key->last_us = v->now_us;
	key->kinds |= (uint8_t)(1u << v->kind);
	add_version(key, v->version);
	/* a host counts for the site it was at when it voted first */
	if (!hostset_add(&key->hosts, v->host_no, s, chunk_id(CHUNK_KEY_HOSTS, no, 0)))
		return false;
	hostset_add(&key->sites, v->site, s, chunk_id(CHUNK_KEY_HOSTS, no, KEY_SITES_BLOCK));
	return true;
}

/* ---- words ---- */

static struct text
text_no(const struct key *key, int i)
{
	size_t at = 0;

	for (int j = 0; j < i; j++)
		at += key->text_len[j];
	return (struct text){ key->text + at, key->text_len[i] };
}

struct text
key_module(const struct key *key)
{
	return text_no(key, 0);
}

struct text
key_module_id(const struct key *key)
{
	return text_no(key, 1);
}

struct text
key_reason(const struct key *key)
{
	return text_no(key, 2);
}

static size_t
copy(struct text t, char *out, size_t cap)
{
	size_t n = t.len < cap - 1 ? t.len : cap - 1;

	memcpy(out, t.at, n);
	out[n] = '\0';
	return n;
}

size_t
key_title(const struct key *key, char *out, size_t cap)
{
	struct signature_key place_ = { key_module(key), key_module_id(key), key->offset,
					(enum reason_class)key->reason };
	size_t n;

	switch ((enum signature_rung)key->rung) {
	case RUNG_KEY:
		return signature_title(&place_, out, cap);
	case RUNG_BUILD:
		n = copy(key_module(key), out, cap);
		n += copy(TEXT(" build "), out + n, cap - n);
		return n + copy(key_module_id(key), out + n, cap - n);
	case RUNG_MODULE:
		return copy(key_module(key), out, cap);
	case RUNG_KERNEL:
		return copy(TEXT("any kernel crash"), out, cap);
	case RUNG_STOP:
	case RUNG_FUNCTION:
		return copy(text_no(key, 3), out, cap);
	case RUNG_ANY:
	case RUNG_N:
		break;
	}
	return copy(TEXT("any crash"), out, cap);
}

size_t
keys_bytes(const struct keys *k)
{
	size_t n = table_bytes(&k->rows) + k->n_slots * sizeof(uint32_t) + k->claim_slots * sizeof(struct claim_row);

	for (uint64_t i = 0; i < k->rows.n; i++) {
		const struct key *key = key_at(k, (uint32_t)i);

		n += hostset_bytes(&key->hosts) + hostset_bytes(&key->sites) +
		     (key->trend != NULL ? sizeof(*key->trend) : 0);
		for (int j = 0; j < 4; j++)
			n += key->text_len[j];
	}
	return n;
}

/* ---- after loading ---- */

bool
keys_loaded(struct keys *k)
{
	bool whole = true;

	index_room(k, k->rows.n + 1);
	k->n_exact = 0;
	k->n_signatures = 0;
	for (uint64_t i = 0; i < k->rows.n; i++) {
		const struct key *key = key_at(k, (uint32_t)i);

		k->n_exact += is_exact(key->rung);
		k->n_signatures += key->rung == RUNG_KEY || key->rung == RUNG_STOP;
		whole = whole && hostset_loaded(&key->hosts) && hostset_loaded(&key->sites);
	}
	return whole;
}
