from django.db import models


class Tenant(models.Model):
    slug = models.SlugField(unique=True)


class Origin(models.Model):
    """A site of a tenant, as browsers write it: ``https://shop.example``, in lower case, without a slash at its end."""

    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="origins")
    origin = models.CharField(max_length=326)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["tenant", "origin"], name="origin_once"),)
