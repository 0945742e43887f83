from django.http import JsonResponse


async def orders(request, tenant):
    return JsonResponse({"tenant": tenant, "orders": [1, 2, 3]})
