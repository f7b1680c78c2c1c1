/* Runs a coherent object: events in, actions out, one a line, for tests on the host.

   Copyright 2026 The hurdlab authors
   SPDX-License-Identifier: GPL-2.0-or-later

   Data and errors are numbers.  What is to be answered ends with a line ".":
   begin, attach, actions, next, dump, idle, at-rest, offer.  */

#include <inttypes.h>
#include <stdio.h>

#include "coherence-priv.h"

static struct coh *o;
static char line[1 << 16], *rest;

static int64_t
number (void)
{
  char *end;
  int64_t n = strtoll (rest, &end, 10);
  if (end == rest)
    {
      fprintf (stderr, "driver: no number in: %s", line);
      exit (2);
    }
  rest = end;
  return n;
}

static struct coh_range
range (void)
{
  int64_t first = number ();
  return (struct coh_range) { first, number () };
}

static size_t
data (coh_data **list)
{
  VEC (coh_data) v = { 0 };
  while (strspn (rest, " \n") < strlen (rest))
    vec_push (&v, (coh_data) (intptr_t) number ());
  *list = v.v;
  return v.n;
}

static void
say_range (struct coh_range r)
{
  if (r.n == 1)
    printf ("%" PRId64, r.first);
  else
    printf ("%" PRId64 "-%" PRId64, r.first, r.first + r.n - 1);
}

static const char *kinds[] = { "read", "write", "unlock" };
static const char *locks[] = { "flush", "discard", "reader" };

static void
say_wants (const struct page *p, const char *name, const struct want *v, size_t n)
{
  if (n)
    printf (" %s", name);
  for (size_t i = 0; i < n; i++)
    {
      printf (" %" PRIu64 ":%s", v[i].c->id, kinds[v[i].kind]);
      if (v[i].doubt)
	printf (" in doubt");
      if (v[i].reserved)
	printf (" reserved");
      if (v[i].asked && p->loading)
	printf (" asked");
      for (size_t j = 0; j < o->ops.n; j++)
	if (o->ops.v[j]->seq < v[i].seq)
	  printf (" after %" PRIu64, o->ops.v[j]->token);
    }
}

static void
say_page (int64_t n)
{
  const struct holding *h = _holding_at (&o->holdings, n);
  struct page *p = _map_get (&o->active, n);
  printf ("page %" PRId64, n);
  for (size_t i = 0; i < o->clients.n; i++)
    {
      holder x;
      if (! _holding_of (h, o->clients.v[i]->slot, &x))
	continue;
      printf (" %" PRIu64 ":%c%s", o->clients.v[i]->id, x & HOLDS_WRITE ? 'W' : 'R',
	      x & HOLDS_MAYBE ? "?" : "");
    }
  if (p)
    {
      coh_tick until = 0;
      for (size_t i = 0; i < o->recent.n; i++)
	if (o->recent.v[i].page == n)
	  until = o->recent.v[i].until;
#define DATUM(field, words) if (p->field) printf (" " words " %" PRIdPTR, (intptr_t) p->field)
#define FLAG(on, ...) if (on) printf (" " __VA_ARGS__)
      DATUM (data, "data");
      DATUM (writing, "storing");
      FLAG (p->failed, "not stored: %d", p->failed);
      FLAG (p->bad, "lost: %d", p->bad);
      FLAG (p->loading, "loading");
      FLAG (p->stale, "in vain");
      FLAG (p->alone, "alone");
      DATUM (fresh, "fresh");
      for (size_t i = 0; i < p->ahead.n; i++)
	printf (" ahead %" PRIu64, p->ahead.v[i]->id);
      FLAG (p->reserving, "reserving");
      FLAG (p->held, "held");
      FLAG (until > o->now, "until %" PRId64, until - o->now);
      say_wants (p, "queue", p->queue.v, p->queue.n);
      say_wants (p, "parked", p->parked.v, p->parked.n);
      for (size_t i = 0; i < p->locks.n; i++)
	{
	  printf (" %s of %" PRIu64, locks[p->locks.v[i]->kind], p->locks.v[i]->c->id);
	  FLAG (p->locks.v[i]->fence, "fence");
	}
      for (size_t i = 0; i < p->ops.n; i++)
	printf (" take %" PRIu64, p->ops.v[i]->token);
      for (size_t i = 0; i < p->syncs.n; i++)
	{
	  struct sync_wait *y = &p->syncs.v[i];
	  printf (" sync %" PRIu64, y->s->token);
	  if (y->lock)
	    printf (" locked");
	  else
	    printf (" for %" PRIu64, p->version - y->version);
	}
    }
  puts ("");
}

static void
dump (void)
{
  printf ("pages %" PRId64 "%s\n", o->pages, o->closing ? " closing" : "");
  for (size_t i = 0; i < o->clients.n; i++)
    {
      struct client *c = o->clients.v[i];
      printf ("client %" PRIu64 "%s", c->id, c->readonly ? " read-only" : "");
      FLAG (c->expect >= 0 && o->config.readahead > 1, "expects %" PRId64 " after %" PRId64,
	    c->expect, c->window);
      for (size_t j = 0; j < c->locks.n; j++)
	{
	  printf (" %s(", locks[c->locks.v[j]->kind]);
	  say_range (c->locks.v[j]->r);
	  printf (")");
	  FLAG (c->locks.v[j]->answered, "answered, %" PRId64 " missing", c->locks.v[j]->missing);
	}
      FLAG (c->locks.n && o->config.answer > 0, "since %" PRId64, c->since - o->now);
      puts ("");
    }
  for (size_t i = 0; i < o->ops.n; i++)
    {
      struct op *x = o->ops.v[i];
      printf ("take %" PRIu64 " ", x->token);
      say_range (x->r);
      FLAG (x->write, "write");
      FLAG (x->closing, "close");
      FLAG (x->granted, "granted");
      FLAG (x->started && ! x->granted, "waits for %" PRId64, x->left);
      FLAG (x->err, "error %d", x->err);
      puts ("");
    }
  /* Pages that are held or active, in order.  */
  size_t n, i = 0;
  int64_t *list = _active_in (o, COH_EVERYTHING, &n);
  int64_t held = _holdings_next (&o->holdings, 0, INT64_MAX);
  while (i < n || held >= 0)
    {
      int64_t p = i < n && (held < 0 || list[i] <= held) ? list[i] : held;
      say_page (p);
      if (i < n && list[i] == p)
	i++;
      if (held == p)
	held = _holdings_next (&o->holdings, held + 1, INT64_MAX);
    }
  free (list);
}

static void
actions (void)
{
  static const char *names[] = { "ready", "attributes", "supply", "lock", "fail", "terminate",
    "cut", "load", "store", "reserve", "discard", "granted", "synced", "closed" };
  size_t n;
  struct coh_action *a = coh_actions (o, &n);
  for (size_t i = 0; i < n; i++)
    {
      printf ("%s %" PRIu64 " %" PRId64 " %" PRId64 " %d %d %d %d %d %d %d %" PRIu64 " %d %d",
	      names[a[i].what], a[i].client, a[i].range.first, a[i].range.n, a[i].ret,
	      a[i].flush, a[i].forbid_write, a[i].reply, a[i].precious, a[i].final, a[i].err,
	      a[i].token, a[i].attributes.may_cache, a[i].attributes.copy);
      for (int64_t j = 0; a[i].data && j < a[i].range.n; j++)
	printf (" %" PRIdPTR, (intptr_t) a[i].data[j]);
      puts ("");
    }
  coh_free_actions (a, n);
}

static void
given_back (void *arg, coh_data d)
{
  (void) arg;
  (void) d;
}

int
main (void)
{
  while (fgets (line, sizeof line, stdin))
    {
      char word[32];
      int used = 0;
      if (sscanf (line, "%31s%n", word, &used) != 1)
	continue;
      rest = line + used;
      int answers = 0;
#define IS(s) (strcmp (word, s) == 0)
      if (IS ("begin"))
	{
	  if (o)
	    coh_free (o, given_back, 0);
	  struct coh_config c = { .pages = number () };
	  c.order = number ();
	  c.cluster = number ();
	  c.readahead = number ();
	  c.hold = number ();
	  c.answer = number ();
	  c.reserve = number ();
	  c.precious = number ();
	  c.limits.clients = number ();
	  c.limits.requests = number ();
	  c.limits.range = number ();
	  c.limits.lock = number ();
	  c.limits.unstored = number ();
	  c.attributes.may_cache = number ();
	  c.attributes.copy = number ();
	  o = coh_new (&c);
	  answers = 1;
	}
      else if (! o)
	return 2;
      else if (IS ("attach"))
	{
	  coh_client c = 0;
	  int err = coh_attach (o, number (), &c);
	  printf ("%d %" PRIu64 "\n", err, c);
	  answers = 1;
	}
      else if (IS ("gone"))
	coh_gone (o, number ());
      else if (IS ("terminated"))
	coh_terminated (o, number ());
      else if (IS ("request") || IS ("unlock"))
	{
	  coh_client c = number ();
	  struct coh_range r = range ();
	  (IS ("request") ? coh_request : coh_unlock) (o, c, r, number ());
	}
      else if (IS ("returned"))
	{
	  coh_client c = number ();
	  int64_t first = number ();
	  int dirty = number (), kept = number ();
	  coh_data *v;
	  size_t n = data (&v);
	  coh_returned (o, c, first, v, n, dirty, kept);
	  free (v);
	}
      else if (IS ("completed"))
	{
	  coh_client c = number ();
	  coh_lock_completed (o, c, range ());
	}
      else if (IS ("loaded"))
	{
	  struct coh_range r = range ();
	  int err = number ();
	  coh_data *v;
	  size_t n = data (&v);
	  coh_loaded (o, r, v, n, err);
	  free (v);
	}
      else if (IS ("stored"))
	{
	  struct coh_range r = range ();
	  coh_stored (o, r, number ());
	}
      else if (IS ("reserved"))
	{
	  int64_t p = number ();
	  coh_reserved (o, p, number ());
	}
      else if (IS ("ticked"))
	coh_ticked (o, number ());
      else if (IS ("sync"))
	{
	  coh_token t = number ();
	  coh_sync (o, t, range ());
	}
      else if (IS ("take"))
	{
	  coh_token t = number ();
	  struct coh_range r = range ();
	  coh_take (o, t, r, number ());
	}
      else if (IS ("release"))
	coh_release (o, number ());
      else if (IS ("resize"))
	coh_resize (o, number ());
      else if (IS ("discard"))
	coh_discard (o, range ());
      else if (IS ("attributes"))
	{
	  struct coh_attributes a = { .may_cache = number () };
	  a.copy = number ();
	  coh_set_attributes (o, a);
	}
      else if (IS ("close"))
	coh_close (o, number ());
      else
	{
	  answers = 1;
	  if (IS ("actions"))
	    actions ();
	  else if (IS ("next"))
	    {
	      coh_tick at;
	      int ok = coh_next (o, &at);
	      printf ("%d %" PRId64 "\n", ok, at);
	    }
	  else if (IS ("dump"))
	    dump ();
	  else if (IS ("idle"))
	    printf ("%d\n", coh_idle (o));
	  else if (IS ("at-rest"))
	    printf ("%d\n", coh_at_rest (o, number ()));
	  else if (IS ("offer"))
	    {
	      int64_t p = number ();
	      printf ("%d\n", coh_offer (o, p, (coh_data) (intptr_t) number ()));
	    }
	  else
	    {
	      fprintf (stderr, "driver: what is %s?\n", word);
	      return 2;
	    }
	}
      if (answers)
	{
	  puts (".");
	  fflush (stdout);
	}
    }
  if (o)
    coh_free (o, given_back, 0);
  return 0;
}
